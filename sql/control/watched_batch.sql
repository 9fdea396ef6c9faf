-- The batch of this id; without one the newest that has not ended, of a month or of all.
SELECT b.batch_id, b.period, b.attempt, b.state, b.failure_reason, control.stager_of(b.batch_id, b.attempt) AS stager,
       e.expected, w.processed, w.kept,
       extract(epoch FROM coalesce(b.validating_at, b.failed_at, b.aborted_at, clock_timestamp())
                          - coalesce(b.processing_at, b.initiated_at))::double precision AS seconds
FROM control.batch b
CROSS JOIN LATERAL (
    SELECT coalesce(sum(records_processed), 0)::bigint AS processed,
           coalesce(sum(records_processed) FILTER (WHERE completed_at < coalesce(b.processing_at, b.initiated_at)), 0)::bigint AS kept
    FROM control.batch_worker WHERE batch_id = b.batch_id) AS w
CROSS JOIN LATERAL (
    SELECT greatest(coalesce(sum(expected_count), 0), w.processed)::bigint AS expected
    FROM control.batch_source_count WHERE batch_id = b.batch_id) AS e
WHERE CASE WHEN %(batch_id)s::text IS NOT NULL THEN b.batch_id = %(batch_id)s
           ELSE b.state NOT IN ('COMMITTED', 'ROLLED_BACK', 'ABORTED', 'FAILED') AND b.period = coalesce(%(period)s, b.period) END
ORDER BY coalesce(b.processing_at, b.initiated_at) DESC
LIMIT 1
