-- What a fund had, what each account changed, and what it has: opening, the accounts of income, expense and equity, closing. The
-- amounts of a statement add up. From the control totals of the posted batches, like ledger.fund_balance itself: the
-- year end, which moves what was earned from one account to another, is not in either.
SELECT 1 AS section, 'opening balance' AS item, NULL AS account_code, f.opening_balance AS amount
FROM ledger.fund_balance f
WHERE f.period = %(period)s AND f.fund = %(fund)s
UNION ALL
SELECT CASE a.account_type WHEN 'INCOME' THEN 2 WHEN 'EXPENSE' THEN 3 ELSE 4 END, a.description, a.account_code,
       sum(t.credit_total - t.debit_total) * 0.01
FROM control.batch b
JOIN control.worker_measure_account t USING (batch_id)
JOIN acct.chart_of_accounts a USING (account_id)
WHERE b.period = %(period)s AND b.state = 'COMMITTED' AND b.kind <> 'YEAREND'
  AND a.fund = %(fund)s AND a.account_type IN ('INCOME', 'EXPENSE', 'EQUITY')
GROUP BY a.account_id
UNION ALL
SELECT 5, 'closing balance', NULL, f.closing_balance
FROM ledger.fund_balance f
WHERE f.period = %(period)s AND f.fund = %(fund)s
ORDER BY section, account_code
