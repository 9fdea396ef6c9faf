SELECT account_code, description, account_type, fund, is_open, coalesce(mirror_account_code, '') AS mirror,
       coalesce(recognised_type || ' ' || recognised_component, '') AS recognises
FROM acct.chart_of_accounts
ORDER BY fund, account_code
