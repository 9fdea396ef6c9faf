SELECT rule_set, version, prepared_by, content_hash, approved_by, approved_at::date
FROM acct.rule_set
WHERE rule_set = %(rule_set)s AND version = %(version)s
