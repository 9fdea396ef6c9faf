SELECT batch_id, period, kind, attempt, state, rule_set, rule_version, first_je_number, last_je_number, entry_count,
       line_count, failure_reason, started_by, initiated_at, committed_at
FROM control.batch
WHERE batch_id = %(batch_id)s
