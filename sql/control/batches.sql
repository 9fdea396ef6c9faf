SELECT batch_id, attempt, state, rule_set || ' v' || rule_version AS rules, entry_count AS entries, line_count AS lines,
       first_je_number AS first_number, last_je_number AS last_number, started_by, date_trunc('second', initiated_at) AS initiated_at,
       date_trunc('second', committed_at) AS posted_at, failure_reason
FROM control.batch
WHERE period = %(period)s
ORDER BY batch_id
