SELECT batch_id, rule_set || ' v' || rule_version AS rules, first_je_number, last_je_number, entry_count, line_count, started_by,
       date_trunc('second', committed_at) AS posted_at
FROM control.batch
WHERE period = %(period)s AND state = 'COMMITTED'
ORDER BY batch_id
