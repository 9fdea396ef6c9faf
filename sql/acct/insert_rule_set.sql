INSERT INTO acct.rule_set (rule_set, version, prepared_by, content_hash)
VALUES (%(rule_set)s, %(version)s, %(prepared_by)s, %(content_hash)s)
