SELECT account_id, account_code, description, account_type, fund, is_open, mirror_account_code, recognised_type, recognised_component
FROM acct.chart_of_accounts
ORDER BY account_code
