SELECT acct.store_rule_set(%(rules)s)
