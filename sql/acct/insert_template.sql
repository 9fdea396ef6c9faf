INSERT INTO acct.journal_template (rule_set, rule_version, template_code, version, source_type, description, effective_from, effective_to, requires_approval, is_enabled)
VALUES (%(rule_set)s, %(rule_version)s, %(code)s, %(version)s, %(source_type)s, %(description)s, %(effective_from)s, %(effective_to)s, %(requires_approval)s, %(is_enabled)s)
RETURNING template_id
