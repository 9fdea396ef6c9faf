-- What the batch booked on each account, from its control totals.
SELECT a.account_code, a.fund, a.description, sum(m.debit_total) * 0.01 AS debit, sum(m.credit_total) * 0.01 AS credit
FROM control.worker_measure_account m
JOIN acct.chart_of_accounts a USING (account_id)
WHERE m.batch_id = %(batch_id)s
GROUP BY a.account_id
ORDER BY a.account_code
