-- The batches of the month with who answers for them: who staged, who posted, who approved the rules. Dry runs are not part of the books.
SELECT b.batch_id, b.attempt, b.state, b.started_by, b.committed_at AS posted_at, c.performed_by AS posted_by,
       coalesce(b.entry_count, 0) AS entry_count, coalesce(b.line_count, 0) AS line_count,
       CASE WHEN b.entry_count > 0 THEN b.first_je_number END AS first_je_number,
       CASE WHEN b.entry_count > 0 THEN b.last_je_number END AS last_je_number,
       b.rule_set, b.rule_set || ' v' || b.rule_version AS rules, left(r.content_hash, 12) AS rules_content, r.prepared_by, r.approved_by, r.approved_at
FROM control.batch b
JOIN acct.rule_set r ON r.rule_set = b.rule_set AND r.version = b.rule_version
LEFT JOIN LATERAL (
    SELECT o.performed_by
    FROM audit.batch_operation o
    WHERE o.batch_id = b.batch_id AND o.state_after = 'COMMITTED'
    ORDER BY o.operation_id DESC
    LIMIT 1) AS c ON true
WHERE b.period = %(period)s AND b.kind <> 'DRYRUN'
ORDER BY b.batch_id
