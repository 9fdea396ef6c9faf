SELECT product_code, nullif(channel, '*'), account_code, replacement_account_code
FROM acct.product_account_map
WHERE rule_set = %(rule_set)s AND rule_version = %(version)s
