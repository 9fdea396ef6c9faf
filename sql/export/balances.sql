SELECT s.account_code, s.fund, a.account_type, s.opening_balance AS opening, s.closing_balance AS closing
FROM ledger.account_balance_snapshot s
JOIN acct.chart_of_accounts a USING (account_code)
WHERE s.period = %(period)s
ORDER BY s.account_code
