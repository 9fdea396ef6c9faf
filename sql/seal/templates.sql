SELECT template_id, rule_set, rule_version, template_code, version, source_type, description FROM acct.journal_template
