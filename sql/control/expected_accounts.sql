SELECT e.account_id, a.account_code, e.debit::numeric(38, 0), e.credit::numeric(38, 0)
FROM control.expected_accounts(%(batch_id)s) e
JOIN acct.chart_of_accounts a USING (account_id)
ORDER BY a.account_code
