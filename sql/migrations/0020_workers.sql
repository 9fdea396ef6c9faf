-- Workers (A3): a batch goes on where its workers ended (docs/adr/0019), one failed worker can be restarted; and a dry run that
-- was killed is cleared away (A10).

-- ---------------------------------------------------------------------------------------------------- who stages

-- Whoever stages an attempt holds this advisory lock in a session of his own for as long (sql/control/claim_batch.sql). It says that
-- he is alive, no more: who may write is decided by the attempt. Gives the name of his session, NULL when there is nobody.
CREATE FUNCTION control.stager_of(the_batch text, the_attempt integer) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT min(coalesce(nullif(a.application_name, ''), 'process ' || l.pid))
    FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.classid = hashtext('ledger_assets.staging ' || the_batch)::oid AND l.objid = the_attempt::oid
$$;

-- As before, and nothing for whoever works for an attempt that was replaced.
DROP FUNCTION control.start_worker(text, integer);
CREATE FUNCTION control.start_worker(the_batch text, the_attempt integer, the_worker integer) RETURNS timestamptz LANGUAGE sql AS $$
    UPDATE control.batch_worker w SET status = 'RUNNING', started_at = clock_timestamp(), error = NULL
    FROM control.batch b
    WHERE b.batch_id = w.batch_id AND b.attempt = the_attempt AND b.state = 'PROCESSING'
      AND w.batch_id = the_batch AND w.worker_number = the_worker AND w.status <> 'COMPLETED'
    RETURNING w.started_at
$$;

-- ---------------------------------------------------------------------------------------------------- going on

-- Why a batch cannot go on where its workers ended; NULL when it can. What it would go on with is the plan that it has: so the
-- loads have to be the same, and what its workers wrote has to be as they wrote it.
CREATE FUNCTION control.why_not_resumed(b control.batch) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    planned integer[] := ARRAY(SELECT DISTINCT s.load_id FROM control.batch_worker_slice s WHERE s.batch_id = b.batch_id ORDER BY 1);
    changed text;
BEGIN
    IF b.kind <> 'MONTHEND' THEN
        RETURN format('a %s begins anew', b.kind);
    ELSIF b.state NOT IN ('PROCESSING', 'VALIDATING', 'VALIDATED', 'FAILED') THEN
        RETURN format('it is %s', b.state);
    ELSIF b.state = 'FAILED' AND b.entry_count IS NOT NULL THEN
        RETURN 'it was staged to its end and refused by its gates';
    ELSIF planned IS DISTINCT FROM ARRAY(SELECT load_id FROM control.loads_to_journal(b.period) ORDER BY 1) THEN
        RETURN 'loads have arrived, were withdrawn or were posted elsewhere since it was planned';
    ELSIF b.source_checksum IS DISTINCT FROM (SELECT coalesce(sum(checksum), 0) FROM source.load WHERE load_id = ANY (planned)) THEN
        RETURN 'the checksums of its loads are others than when it was planned';
    ELSIF b.first_je_number IS DISTINCT FROM (SELECT next_je_number FROM control.period WHERE period = b.period) THEN
        RETURN 'entries were posted to the month since it was planned';
    END IF;
    SELECT string_agg(w.worker_number::text, ', ' ORDER BY w.worker_number) INTO changed
    FROM control.batch_worker w LEFT JOIN control.worker_seal s USING (batch_id, worker_number)
    WHERE w.batch_id = b.batch_id AND w.status = 'COMPLETED'
      AND (w.content_version <> 0 OR s.batch_id IS NULL
           OR w.entry_count > 0 AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = w.header_leaf AND c.relnamespace = 'staging'::regnamespace)
           OR w.entry_count > 0 AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = w.line_leaf AND c.relnamespace = 'staging'::regnamespace));
    IF changed IS NOT NULL THEN
        RETURN format('what workers %s wrote was changed or taken away since', changed);
    END IF;
    IF EXISTS (SELECT FROM control.worker_seal s WHERE s.batch_id = b.batch_id
               AND s.dictionary_hash <> sha256(convert_to(ledger.dictionary_text(b.batch_id), 'UTF8'))) THEN
        RETURN 'the chart or the templates were changed since it was planned';
    END IF;
    RETURN NULL;
END $$;

-- The next attempt of a batch, which keeps what its workers completed. The attempt is what shuts out whoever still works on the one
-- before: his next statement is refused. The caller has locked the month and the batch.
CREATE FUNCTION control.take_over_batch(b control.batch, the_operation text, performed_by text, the_run_id text, details jsonb)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE control.batch SET attempt = b.attempt + 1, state = 'PROCESSING', last_je_number = NULL, entry_count = NULL, line_count = NULL,
        failure_reason = NULL, run_id = coalesce(the_run_id, b.run_id), processing_at = clock_timestamp(), validating_at = NULL,
        validated_at = NULL, failed_at = NULL
    WHERE batch_id = b.batch_id;
    INSERT INTO audit.batch_operation (batch_id, period, operation, performed_by, state_before, state_after, outcome, details)
    SELECT b.batch_id, b.period, the_operation, performed_by, b.state, 'PROCESSING', 'SUCCESS', details || jsonb_strip_nulls(
        jsonb_build_object('attempt', b.attempt + 1, 'workers', count(*), 'complete', count(*) FILTER (WHERE status = 'COMPLETED'),
                           'taken_over_from', control.stager_of(b.batch_id, b.attempt)))
    FROM control.batch_worker WHERE batch_id = b.batch_id;
END $$;

-- The open month end of a period goes on where its workers ended, if that is lawful and any of them has: its id. NULL otherwise, and
-- then control.open_batch stages it anew, or says what pre-flight has against it.
CREATE FUNCTION control.resume_batch(the_period text, the_rule_set text, the_rule_version integer, first_period text, performed_by text,
                                     the_run_id text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    b control.batch;
BEGIN
    PERFORM control.require_read_committed();
    PERFORM FROM control.period WHERE period = the_period FOR UPDATE;
    -- A worker that is just writing holds the batch: what it commits is to be kept.
    SELECT * INTO b FROM control.batch
    WHERE period = the_period AND kind = 'MONTHEND' AND state NOT IN ('COMMITTED', 'ROLLED_BACK', 'ABORTED') FOR UPDATE;
    IF NOT FOUND
       OR (b.rule_set, b.rule_version) IS DISTINCT FROM (the_rule_set, the_rule_version)
       OR NOT EXISTS (SELECT FROM control.batch_worker WHERE batch_id = b.batch_id AND status = 'COMPLETED')
       OR EXISTS (SELECT FROM control.preflight_failures(the_period, first_period))
       OR control.why_not_resumed(b) IS NOT NULL THEN
        RETURN NULL;
    END IF;
    PERFORM control.take_over_batch(b, 'RESUME', performed_by, the_run_id, '{}');
    UPDATE control.batch_worker SET status = 'PENDING', started_at = NULL, error = NULL
    WHERE batch_id = b.batch_id AND status <> 'COMPLETED';
    RETURN b.batch_id;
END $$;

-- One worker of a batch whose staging ended before its time is to be done again; the engine does it then. Returns the attempt.
CREATE FUNCTION control.restart_worker(the_batch text, the_worker integer, performed_by text) RETURNS integer
LANGUAGE plpgsql SET lock_timeout = '60s' AS $$
DECLARE
    b       control.batch;
    was     text;
    problem text;
BEGIN
    PERFORM control.require_read_committed();
    SELECT * INTO b FROM control.batch WHERE batch_id = the_batch;
    IF NOT FOUND THEN
        RAISE EXCEPTION '%: there is no such batch', the_batch USING ERRCODE = 'LA002', HINT = 'control.batch lists them';
    END IF;
    -- Before anybody is waited for. Should one begin in this moment, the attempt shuts him out.
    problem := control.stager_of(the_batch, b.attempt);
    IF b.state = 'PROCESSING' AND problem IS NOT NULL THEN
        RAISE EXCEPTION '%: it is being staged by %', the_batch, problem
            USING ERRCODE = 'LA002', HINT = format('wait until that has ended (ledger-assets status %s --watch), or abort the batch', b.period);
    END IF;
    PERFORM FROM control.period WHERE period = b.period FOR UPDATE;
    SELECT * INTO b FROM control.batch WHERE batch_id = the_batch FOR UPDATE;
    IF b.kind <> 'MONTHEND' THEN
        RAISE EXCEPTION '%: a % is begun anew, not worker by worker', the_batch, b.kind
            USING ERRCODE = 'LA002', HINT = 'repeat the command that began it';
    ELSIF b.state NOT IN ('PROCESSING', 'FAILED') OR b.entry_count IS NOT NULL THEN
        RAISE EXCEPTION '%: it is %, and all its workers have ended', the_batch, b.state
            USING ERRCODE = 'LA002', HINT = CASE WHEN b.state IN ('COMMITTED', 'ROLLED_BACK', 'ABORTED') THEN 'there is nothing to restart'
                                                 ELSE format('run ledger-assets close %s', b.period) END;
    END IF;
    SELECT status INTO was FROM control.batch_worker WHERE batch_id = the_batch AND worker_number = the_worker;
    IF was IS NULL OR was = 'COMPLETED' THEN
        RAISE EXCEPTION '%: %', the_batch, CASE WHEN was IS NULL THEN format('it has no worker %s', the_worker)
                                                ELSE format('worker %s has completed', the_worker) END
            USING ERRCODE = 'LA002', HINT = coalesce((
                SELECT 'not complete: ' || string_agg(worker_number::text, ', ' ORDER BY worker_number)
                FROM control.batch_worker WHERE batch_id = the_batch AND status <> 'COMPLETED'),
                format('all are complete: run ledger-assets close %s', b.period));
    END IF;
    problem := control.why_not_resumed(b);
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%: it cannot go on, %', the_batch, problem
            USING ERRCODE = 'LA002', HINT = format('run ledger-assets close %s: it is staged anew', b.period);
    END IF;
    PERFORM control.take_over_batch(b, 'RESTART_WORKER', performed_by, NULL, jsonb_build_object('worker', the_worker));
    UPDATE control.batch_worker SET status = 'FAILED', error = 'its process ended before it did'
    WHERE batch_id = the_batch AND status = 'RUNNING';
    UPDATE control.batch_worker SET status = 'PENDING', started_at = NULL, error = NULL
    WHERE batch_id = the_batch AND worker_number = the_worker;
    RETURN b.attempt + 1;
END $$;

-- ---------------------------------------------------------------------------------------------------- dry runs

-- As before; what could not be journaled is told by the report of the dry run, and is nobody's to do.
CREATE OR REPLACE FUNCTION control.end_dry_run(the_batch text, performed_by text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM control.batch WHERE batch_id = the_batch AND kind = 'DRYRUN') THEN
        RAISE EXCEPTION 'batch %: it is no dry run', the_batch USING ERRCODE = 'LA002', HINT = 'abort it, as batch_admin';
    END IF;
    PERFORM control.drop_staged_leaves(the_batch);
    DELETE FROM control.exception_queue WHERE batch_id = the_batch;
    PERFORM control.set_batch_state(the_batch, 'ABORTED', performed_by, '{"reason": "dry run"}');
END $$;

-- Clears away what killed dry runs of a month have left; one that somebody is at is left to him. Returns the ids.
CREATE FUNCTION control.end_dead_dry_runs(the_period text, performed_by text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    dead text;
BEGIN
    PERFORM FROM control.period WHERE period = the_period FOR UPDATE;  -- the month before the batch, like everybody
    FOR dead IN
        SELECT batch_id FROM control.batch b
        WHERE period = the_period AND kind = 'DRYRUN' AND state NOT IN ('COMMITTED', 'ROLLED_BACK', 'ABORTED')
          AND control.stager_of(batch_id, attempt) IS NULL
    LOOP
        PERFORM control.end_dry_run(dead, performed_by);
        RETURN NEXT dead;
    END LOOP;
END $$;

-- ---------------------------------------------------------------------------------------------------- progress

-- As before, with the pace: of the workers that completed since this attempt began, because those that it kept took it no time.
CREATE OR REPLACE VIEW control.batch_progress AS
SELECT b.batch_id, b.period, b.kind, b.attempt, b.state, w.workers, w.workers_completed, w.workers_failed,
       e.records_expected, w.records_processed,
       round(100.0 * w.records_processed / nullif(e.records_expected, 0), 1) AS percent,
       round(t.seconds / 60, 1) AS minutes_running,
       CASE WHEN b.state = 'PROCESSING' AND w.records_now > 0
            THEN round(t.seconds / 60 * (e.records_expected - w.records_processed) / w.records_now, 1) END AS minutes_remaining,
       CASE WHEN b.state = 'PROCESSING' AND w.records_now > 0
            THEN date_trunc('second', clock_timestamp()
                 + t.seconds * (e.records_expected - w.records_processed) / w.records_now * interval '1 second') END AS staged_by,
       CASE WHEN b.state = 'PROCESSING' AND w.records_now > 0 THEN round(w.records_now / nullif(t.seconds, 0)) END AS records_per_second
FROM control.watched_batch b
CROSS JOIN LATERAL (
    SELECT count(*) AS workers, count(*) FILTER (WHERE status = 'COMPLETED') AS workers_completed,
           count(*) FILTER (WHERE status = 'FAILED') AS workers_failed,
           coalesce(sum(records_processed), 0) AS records_processed, coalesce(sum(records_expected), 0) AS records_expected,
           coalesce(sum(records_processed) FILTER (WHERE completed_at >= coalesce(b.processing_at, b.initiated_at)), 0) AS records_now
    FROM control.batch_worker WHERE batch_id = b.batch_id) AS w
CROSS JOIN LATERAL (
    -- A worker of a month end learns how many records it has when it reads them; the batch knows from the start.
    SELECT greatest(w.records_expected, coalesce(sum(expected_count), 0)) AS records_expected
    FROM control.batch_source_count WHERE batch_id = b.batch_id) AS e
CROSS JOIN LATERAL (
    SELECT extract(epoch FROM clock_timestamp() - coalesce(b.processing_at, b.initiated_at)) AS seconds) AS t
WHERE b.state IN ('INITIATED', 'PREFLIGHT', 'PROCESSING', 'VALIDATING', 'VALIDATED');
