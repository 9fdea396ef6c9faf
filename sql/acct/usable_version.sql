-- The newest version that a second person has approved.
SELECT max(version) FROM acct.rule_set WHERE rule_set = %(rule_set)s AND approved_by IS NOT NULL
