SELECT t.rule_set, t.template_code, t.version, t.source_type, l.entry_number AS entry, l.line_number AS line, l.side,
       l.account_code, l.fund, l.amount_expression AS amount
FROM acct.journal_template t
JOIN acct.journal_template_line l USING (template_id)
ORDER BY t.rule_set, t.template_code, t.version, l.entry_number, l.line_number
