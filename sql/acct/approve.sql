SELECT acct.approve(%(rule_set)s, %(version)s, %(content_hash)s, %(approved_by)s)
