SELECT template_id FROM acct.journal_template WHERE rule_set = 'year-end' AND rule_version = 1
