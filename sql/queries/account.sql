-- The account by its code: the queries on lines ask by account_id.
SELECT account_id, account_code, description, account_type, fund
FROM acct.chart_of_accounts
WHERE account_code = %(account_code)s
