-- The balances of the month with what the chart says about each account.
SELECT s.account_code, a.description, s.fund, s.opening_balance, s.debit, s.credit, s.closing_balance,
       a.account_type, a.recognised_type, a.recognised_component
FROM ledger.account_balance_snapshot s
JOIN acct.chart_of_accounts a USING (account_code)
WHERE s.period = %(period)s
ORDER BY s.fund, s.account_code
