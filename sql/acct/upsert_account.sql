INSERT INTO acct.chart_of_accounts (account_code, description, account_type, fund, is_open, mirror_account_code, recognised_type, recognised_component)
VALUES (%(account_code)s, %(description)s, %(account_type)s, %(fund)s, %(is_open)s, %(mirror_account_code)s, %(recognised_type)s, %(recognised_component)s)
ON CONFLICT (account_code) DO UPDATE SET
    description = excluded.description, account_type = excluded.account_type, fund = excluded.fund, is_open = excluded.is_open,
    mirror_account_code = excluded.mirror_account_code, recognised_type = excluded.recognised_type,
    recognised_component = excluded.recognised_component
