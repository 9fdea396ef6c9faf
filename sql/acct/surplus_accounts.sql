SELECT fund, account_id FROM acct.chart_of_accounts WHERE account_type = 'EQUITY' AND is_open
