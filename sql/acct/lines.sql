SELECT l.template_id, l.line_number, l.entry_number, l.side, l.account_code, l.fund, l.amount_expression, l.takes_remainder
FROM acct.journal_template_line l
JOIN acct.journal_template t USING (template_id)
WHERE t.rule_set = %(rule_set)s AND t.rule_version = %(version)s
ORDER BY l.template_id, l.entry_number, l.line_number
