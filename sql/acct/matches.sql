SELECT m.template_id, m.product_code, m.channel, m.condition_expression, m.priority
FROM acct.journal_template_match m
JOIN acct.journal_template t USING (template_id)
WHERE t.rule_set = %(rule_set)s AND t.rule_version = %(version)s
ORDER BY m.template_id, m.match_number
