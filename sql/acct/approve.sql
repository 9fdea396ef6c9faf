UPDATE acct.rule_set SET approved_by = %(approved_by)s, approved_at = clock_timestamp()
WHERE rule_set = %(rule_set)s AND version = %(version)s AND content_hash = %(content_hash)s AND approved_by IS NULL
RETURNING version
