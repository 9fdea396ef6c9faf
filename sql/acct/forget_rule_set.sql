DELETE FROM acct.rule_set WHERE rule_set = %(rule_set)s AND version = %(version)s AND approved_by IS NULL
