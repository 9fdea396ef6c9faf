SELECT account_id, account_code, fund, account_type FROM acct.chart_of_accounts
