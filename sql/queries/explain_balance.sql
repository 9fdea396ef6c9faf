-- What a balance is made of: what the month before left, then each posted batch with the rules that it was journaled by and the
-- numbers of its entries. The amounts add up to the closing balance. From the control totals that the gates took of every leaf;
-- account_lines shows the lines, explain_entry where one of them comes from.
SELECT 0 AS position, NULL AS batch_id, 'opening balance' AS kind, NULL AS rule_set, NULL::integer AS rule_version,
       NULL::integer AS first_je_number, NULL::integer AS last_je_number, NULL::numeric AS lines,
       NULL::numeric AS debit, NULL::numeric AS credit, s.opening_balance AS amount
FROM ledger.account_balance_snapshot s
WHERE s.period = %(period)s AND s.account_code = %(account_code)s
UNION ALL
SELECT row_number() OVER (ORDER BY b.committed_at, b.batch_id), b.batch_id, b.kind, b.rule_set, b.rule_version,
       b.first_je_number, b.last_je_number, sum(t.line_count), sum(t.debit_total) * 0.01, sum(t.credit_total) * 0.01,
       sum(t.debit_total - t.credit_total) * 0.01
FROM control.batch b
JOIN control.worker_measure_account t USING (batch_id)
JOIN acct.chart_of_accounts a USING (account_id)
WHERE b.period = %(period)s AND b.state = 'COMMITTED' AND a.account_code = %(account_code)s
GROUP BY b.batch_id
ORDER BY position
