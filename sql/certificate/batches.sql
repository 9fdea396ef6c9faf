-- The batches that the books of the month consist of, with the rules that made them and the gates that they passed.
SELECT b.batch_id, b.kind, b.rule_set, b.rule_version, r.content_hash AS rules_sha256, r.approved_by AS rules_approved_by,
       coalesce(b.entry_count, 0) AS entries, coalesce(b.line_count, 0) AS lines,
       CASE WHEN b.entry_count > 0 THEN b.first_je_number END AS first_je_number,
       CASE WHEN b.entry_count > 0 THEN b.last_je_number END AS last_je_number,
       ARRAY(SELECT v.gate
             FROM (SELECT DISTINCT ON (gate) gate, passed FROM control.batch_validation_result
                   WHERE batch_id = b.batch_id AND attempt = b.attempt AND evaluated_at <= b.committed_at
                   ORDER BY gate, validation_id DESC) AS v
             WHERE v.passed ORDER BY v.gate) AS gates_passed
FROM control.batch b
JOIN acct.rule_set r ON r.rule_set = b.rule_set AND r.version = b.rule_version
WHERE b.period = %(period)s AND b.state = 'COMMITTED'
ORDER BY b.batch_id
