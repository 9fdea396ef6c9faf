-- Income and expense accounts that are not at zero; minor units.
SELECT a.account_id, s.fund, (s.closing_balance * 100)::numeric(38, 0)
FROM ledger.account_balance_snapshot s
JOIN acct.chart_of_accounts a USING (account_code)
WHERE s.period = %(period)s AND a.account_type IN ('INCOME', 'EXPENSE') AND s.closing_balance <> 0
ORDER BY s.fund, s.account_code
