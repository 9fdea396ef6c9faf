-- Watching (A13): five questions, a view each; sql/monitoring/ has the query of each, docs/monitoring.md says what to do then.
-- They read control tables and PostgreSQL's own statistics, never a row of the books.

CREATE VIEW control.watched_batch AS
SELECT b.batch_id, b.period, b.kind, b.attempt, b.state, b.initiated_at, b.processing_at
FROM control.batch b
WHERE b.state NOT IN ('COMMITTED', 'ROLLED_BACK', 'ABORTED')
   OR b.initiated_at = (SELECT max(initiated_at) FROM control.batch);
COMMENT ON VIEW control.watched_batch IS 'Every batch that has not ended, and the one that was started last.';

-- The rows of a worker are there when it commits, so progress goes by whole workers.
CREATE VIEW control.batch_progress AS
SELECT b.batch_id, b.period, b.kind, b.attempt, b.state, w.workers, w.workers_completed, w.workers_failed,
       e.records_expected, w.records_processed,
       round(100.0 * w.records_processed / nullif(e.records_expected, 0), 1) AS percent,
       round(t.seconds / 60, 1) AS minutes_running,
       CASE WHEN b.state = 'PROCESSING' AND w.records_processed > 0
            THEN round(t.seconds / 60 * (e.records_expected - w.records_processed) / w.records_processed, 1) END AS minutes_remaining,
       CASE WHEN b.state = 'PROCESSING' AND w.records_processed > 0
            THEN date_trunc('second', clock_timestamp()
                 + t.seconds * (e.records_expected - w.records_processed) / w.records_processed * interval '1 second') END AS staged_by
FROM control.watched_batch b
CROSS JOIN LATERAL (
    SELECT count(*) AS workers, count(*) FILTER (WHERE status = 'COMPLETED') AS workers_completed,
           count(*) FILTER (WHERE status = 'FAILED') AS workers_failed,
           coalesce(sum(records_processed), 0) AS records_processed, coalesce(sum(records_expected), 0) AS records_expected
    FROM control.batch_worker WHERE batch_id = b.batch_id) AS w
CROSS JOIN LATERAL (
    -- A worker of a month end learns how many records it has when it reads them; the batch knows from the start.
    SELECT greatest(w.records_expected, coalesce(sum(expected_count), 0)) AS records_expected
    FROM control.batch_source_count WHERE batch_id = b.batch_id) AS e
CROSS JOIN LATERAL (
    SELECT extract(epoch FROM clock_timestamp() - coalesce(b.processing_at, b.initiated_at)) AS seconds) AS t
WHERE b.state IN ('INITIATED', 'PREFLIGHT', 'PROCESSING', 'VALIDATING', 'VALIDATED');
COMMENT ON VIEW control.batch_progress IS 'How far each running batch is, in percent and minutes, and when its staging will have ended at the pace so far.';

CREATE VIEW control.workers_by_status AS
SELECT b.batch_id, b.period, b.kind, b.state, w.status, count(*) AS workers, sum(w.records_processed) AS records_processed,
       round(avg(w.records_per_second), 1) AS average_records_per_second
FROM control.watched_batch b JOIN control.batch_worker w USING (batch_id)
GROUP BY b.batch_id, b.period, b.kind, b.state, w.status;
COMMENT ON VIEW control.workers_by_status IS 'The workers of every batch that has not ended, and of the last one, by status, with their average pace.';

-- A running worker has no pace of its own yet: the one shown is what it would have if it had finished just now.
CREATE VIEW control.slow_workers AS
SELECT batch_id, period, worker_number, status, records, round(seconds, 1) AS seconds, round(records / seconds, 1) AS records_per_second
FROM (SELECT b.batch_id, b.period, w.worker_number, w.status,
             CASE WHEN w.status = 'COMPLETED' THEN w.records_processed ELSE greatest(w.records_expected, (
                 SELECT coalesce(sum(s.last_row_number - s.first_row_number + 1), 0) FROM control.batch_worker_slice s
                 WHERE s.batch_id = w.batch_id AND s.worker_number = w.worker_number)) END AS records,
             nullif(extract(epoch FROM coalesce(w.completed_at, clock_timestamp()) - w.started_at), 0) AS seconds
      FROM control.watched_batch b JOIN control.batch_worker w USING (batch_id)
      WHERE w.status IN ('RUNNING', 'COMPLETED')) AS worker
WHERE records > 0 AND records / seconds < 500;
COMMENT ON VIEW control.slow_workers IS 'Workers that journal fewer than 500 records a second; running ones at the pace that they can reach at most.';

-- Never the statement's text: it may hold personal data. A name that is not ours is not shown, because anybody may be in it.
-- PostgreSQL hides state, wait and times of other logins from who is not a member of pg_read_all_stats: they are NULL then.
CREATE VIEW control.database_activity AS
SELECT pid, CASE WHEN application_name LIKE 'ledger-assets%' THEN application_name ELSE 'other' END AS application, state,
       wait_event_type, wait_event, pg_blocking_pids(pid) AS blocked_by,
       CASE WHEN state <> 'idle' THEN round(extract(epoch FROM clock_timestamp() - query_start), 1) END AS query_seconds,
       round(extract(epoch FROM clock_timestamp() - xact_start), 1) AS transaction_seconds
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid();
COMMENT ON VIEW control.database_activity IS 'The connections to this database: what they wait for, and for how long their statement and their transaction have run.';

CREATE VIEW control.recent_checkpoints AS
SELECT c.batch_id, b.period, c.worker_number, c.attempt, c.records_processed, c.last_je_number,
       date_trunc('second', c.recorded_at) AS recorded_at, round(extract(epoch FROM clock_timestamp() - c.recorded_at)) AS seconds_ago
FROM control.batch_checkpoint c JOIN control.batch b USING (batch_id)
WHERE c.recorded_at > clock_timestamp() - interval '5 minutes';
COMMENT ON VIEW control.recent_checkpoints IS 'What workers have finished in the last five minutes.';
