SELECT product_code FROM acct.product WHERE rule_set = %(rule_set)s AND rule_version = %(version)s ORDER BY product_code
