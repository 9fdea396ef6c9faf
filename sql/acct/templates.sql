SELECT template_id, template_code, version, source_type, description, effective_from, effective_to, requires_approval, is_enabled
FROM acct.journal_template
WHERE rule_set = %(rule_set)s AND rule_version = %(version)s
ORDER BY template_id
