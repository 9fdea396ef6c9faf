-- What the batch booked in each fund, from its control totals.
SELECT a.fund, sum(m.line_count) AS lines, sum(m.debit_total) * 0.01 AS debit, sum(m.credit_total) * 0.01 AS credit
FROM control.worker_measure_account m
JOIN acct.chart_of_accounts a USING (account_id)
WHERE m.batch_id = %(batch_id)s
GROUP BY a.fund
ORDER BY a.fund
