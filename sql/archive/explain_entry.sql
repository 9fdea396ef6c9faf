-- As queries/explain_entry without the transaction, for an entry whose header and lines were read from a file.
SELECT %(je_number)s::integer AS je_number, l.line_number, a.account_code, a.fund, greatest(l.amount, 0) * 0.01 AS debit_amount,
       greatest(-l.amount, 0) * 0.01 AS credit_amount, b.batch_id, b.kind, k.rule_set, k.rule_version, r.content_hash, r.approved_by,
       k.template_code, k.version AS template_version, t.side, t.account_code AS template_account_code, t.amount_expression, t.takes_remainder
FROM jsonb_to_recordset(%(lines)s) AS l (line_number smallint, account_id smallint, amount bigint)
JOIN acct.chart_of_accounts a USING (account_id)
JOIN control.batch b ON b.batch_id = %(batch_id)s
JOIN acct.journal_template k ON k.template_id = %(template_id)s
JOIN acct.rule_set r ON r.rule_set = k.rule_set AND r.version = k.rule_version
LEFT JOIN acct.journal_template_line t
       ON t.template_id = k.template_id AND t.entry_number = %(source_entry)s AND t.line_number = l.line_number
ORDER BY l.line_number
