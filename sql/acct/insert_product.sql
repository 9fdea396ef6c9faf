INSERT INTO acct.product (rule_set, rule_version, product_code) VALUES (%(rule_set)s, %(rule_version)s, %(product_code)s)
