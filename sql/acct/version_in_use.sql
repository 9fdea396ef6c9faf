-- The newest version that a second person has approved; while there is none, the newest.
SELECT coalesce(max(version) FILTER (WHERE approved_by IS NOT NULL), max(version)) FROM acct.rule_set WHERE rule_set = %(rule_set)s
