-- The newest version that nobody has approved, while an older one that is approved posts.
SELECT w.version, u.version AS used, w.prepared_by, w.stored_at
FROM acct.rule_set w
JOIN (SELECT max(version) AS version FROM acct.rule_set WHERE rule_set = %(rule_set)s AND approved_by IS NOT NULL) AS u ON u.version < w.version
WHERE w.rule_set = %(rule_set)s AND w.approved_by IS NULL
ORDER BY w.version DESC
LIMIT 1
