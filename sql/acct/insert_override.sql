INSERT INTO acct.product_account_map (rule_set, rule_version, product_code, channel, account_code, replacement_account_code)
VALUES (%(rule_set)s, %(rule_version)s, %(product_code)s, coalesce(%(channel)s, '*'), %(account_code)s, %(replacement_account_code)s)
