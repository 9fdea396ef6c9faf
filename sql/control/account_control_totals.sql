SELECT m.account_id, a.account_code, a.fund, a.account_type, coalesce(a.is_open, false), a.mirror_account_code,
       a.recognised_type, a.recognised_component, sum(m.debit_total), sum(m.credit_total)
FROM control.worker_measure_account m
LEFT JOIN acct.chart_of_accounts a USING (account_id)
WHERE m.batch_id = %(batch_id)s
GROUP BY m.account_id, a.account_id
ORDER BY a.account_code
