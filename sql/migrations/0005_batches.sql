-- A batch from its opening to its last staged row: pre-flight, the plan of its workers, their leaves.

-- ---------------------------------------------------------------------------------------------------- pre-flight

CREATE FUNCTION control.preflight_failures(the_period text, first_period text)
RETURNS TABLE (rule text, problem text, fix text) LANGUAGE sql STABLE AS $$
    SELECT 'first_period', format('%s lies before the first period of these books, %s', the_period, first_period),
           format('close a period from %s on, or set LEDGER_FIRST_PERIOD before the first close', first_period)
    WHERE the_period COLLATE "C" < first_period
  UNION ALL
    SELECT 'predecessor_closed', format('%s waits for %s, which is not closed', the_period, control.previous_period(the_period)),
           format('run ledger-assets close %s first', control.previous_period(the_period))
    WHERE the_period COLLATE "C" > first_period AND NOT EXISTS (
        SELECT FROM control.period p
        WHERE p.period = control.previous_period(the_period) AND p.status = 'CLOSED')
  UNION ALL
    SELECT 'later_period_closed', format('%s cannot take more entries: %s is closed on its balances', the_period, min(p.period)),
           'book the late transactions in the open period'
    FROM control.period p
    WHERE p.period COLLATE "C" > the_period AND p.status = 'CLOSED'
    HAVING count(*) > 0
  UNION ALL
    -- The check on txn_source says so too, but it protects only the run that it is in.
    SELECT 'rejected_rows_resolved', format('%s waits: %s refused source rows are open', the_period, count(*)),
           'deliver the corrections, withdraw the load, or acknowledge them with a reason'
    FROM source.rejected_row r
    JOIN source.load l USING (load_id)
    WHERE l.period = the_period AND r.status = 'OPEN'
    HAVING count(*) > 0
$$;

CREATE VIEW control.unprocessed_load AS
SELECT l.load_id, l.period, l.row_count, l.accepted_count
FROM source.load l
WHERE l.status = 'LOADED' AND l.accepted_count > 0
  AND NOT EXISTS (SELECT FROM control.load_batch p WHERE p.load_id = l.load_id);
COMMENT ON VIEW control.unprocessed_load IS 'Loads whose transactions are in no posted batch.';

-- ---------------------------------------------------------------------------------------------------- open a batch

CREATE FUNCTION ledger.open_period(the_period text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    root text;
    month text;
BEGIN
    FOREACH root IN ARRAY ARRAY['je_header', 'je_line'] LOOP
        month := root || '_' || control.period_suffix(the_period);
        CONTINUE WHEN to_regclass(format('ledger.%I', month)) IS NOT NULL;
        -- CREATE … PARTITION OF would lock the root against every reader; ATTACH does not.
        EXECUTE format('CREATE TABLE ledger.%I (LIKE ledger.%I) PARTITION BY RANGE (je_number)', month, root);
        PERFORM control.guard_table(format('ledger.%I', month)::regclass, false);
        EXECUTE format('ALTER TABLE ledger.%I ATTACH PARTITION ledger.%I FOR VALUES IN (%L)', root, month, the_period);
    END LOOP;
END $$;

CREATE FUNCTION control.drop_staged_leaves(the_batch text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    leaf regclass;
BEGIN
    -- A worker that is just writing holds the batch: what it commits is to be found, not left behind.
    PERFORM FROM control.batch WHERE batch_id = the_batch FOR UPDATE;
    FOR leaf IN
        SELECT unnest(ARRAY[w.header_leaf, w.line_leaf]) FROM control.batch_worker w WHERE w.batch_id = the_batch
    LOOP
        IF leaf IS NOT NULL AND EXISTS (SELECT FROM pg_class WHERE oid = leaf AND relnamespace = 'staging'::regnamespace) THEN
            EXECUTE format('DROP TABLE %s', leaf);
        END IF;
    END LOOP;
    DELETE FROM control.batch_worker WHERE batch_id = the_batch;
    UPDATE control.exception_queue SET status = 'RETRIED' WHERE batch_id = the_batch AND status = 'OPEN';
END $$;

-- Returns NULL when the period has a posted batch and nothing new to journal. Otherwise the id of a batch in state
-- PROCESSING with its workers planned; an open batch of the period is replaced (same id, next attempt, nothing left of
-- its staged rows). A period without any transaction gets an empty batch, so that its close is on record.
CREATE FUNCTION control.open_batch(the_period text, the_kind text, the_rule_set text, the_rule_version integer, rows_per_worker integer,
                                   first_period text, performed_by text, the_run_id text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    failure   record;
    the_batch text;
    base      integer;
    posted    integer;
    replaced  text;
BEGIN
    PERFORM control.require_read_committed();
    INSERT INTO control.period (period) VALUES (the_period) ON CONFLICT DO NOTHING;
    SELECT next_je_number INTO base FROM control.period WHERE period = the_period FOR UPDATE;
    SELECT count(*) FILTER (WHERE state IN ('COMMITTED', 'ROLLED_BACK', 'ABORTED')),
           max(batch_id) FILTER (WHERE state NOT IN ('COMMITTED', 'ROLLED_BACK', 'ABORTED'))
    INTO posted, replaced FROM control.batch WHERE period = the_period AND kind = the_kind;
    IF the_kind = 'MONTHEND'
       AND EXISTS (SELECT FROM control.batch WHERE period = the_period AND kind = 'MONTHEND' AND state = 'COMMITTED')
       AND NOT EXISTS (SELECT FROM control.unprocessed_load WHERE period = the_period) THEN
        IF replaced IS NOT NULL THEN
            PERFORM control.drop_staged_leaves(replaced);
            PERFORM control.set_batch_state(replaced, 'ABORTED', performed_by, '{"reason": "its loads were withdrawn"}');
        END IF;
        RETURN NULL;
    END IF;
    FOR failure IN SELECT * FROM control.preflight_failures(the_period, first_period) LOOP
        RAISE EXCEPTION '%', failure.problem USING ERRCODE = 'LA001', HINT = failure.fix, CONSTRAINT = failure.rule;
    END LOOP;
    the_batch := coalesce(replaced, the_period || '-' || the_kind
                                    || CASE WHEN posted > 0 THEN to_char(posted + 1, 'FM"-"9900') ELSE '' END);
    PERFORM ledger.open_period(the_period);
    IF replaced IS NOT NULL THEN
        PERFORM control.drop_staged_leaves(the_batch);
        DELETE FROM control.batch_source_count WHERE batch_id = the_batch;
        INSERT INTO audit.batch_operation (batch_id, period, operation, performed_by, state_before, state_after, outcome, details)
        SELECT batch_id, period, 'RESTAGE', performed_by, state, 'INITIATED', 'SUCCESS', jsonb_build_object('attempt', attempt + 1)
        FROM control.batch WHERE batch_id = the_batch;
        UPDATE control.batch SET attempt = attempt + 1, state = 'INITIATED', rule_set = the_rule_set, rule_version = the_rule_version,
            first_je_number = base, last_je_number = NULL, entry_count = NULL, line_count = NULL, source_checksum = 0,
            failure_reason = NULL, started_by = performed_by, run_id = the_run_id, initiated_at = clock_timestamp(),
            preflight_at = NULL, processing_at = NULL, validating_at = NULL, validated_at = NULL, failed_at = NULL
        WHERE batch_id = the_batch;
    ELSE
        INSERT INTO control.batch (batch_id, period, kind, state, rule_set, rule_version, first_je_number, started_by, run_id)
        VALUES (the_batch, the_period, the_kind, 'INITIATED', the_rule_set, the_rule_version, base, performed_by, the_run_id);
        INSERT INTO audit.batch_operation (batch_id, period, operation, performed_by, state_after, outcome)
        VALUES (the_batch, the_period, 'INITIATE', performed_by, 'INITIATED', 'SUCCESS');
    END IF;
    PERFORM control.set_batch_state(the_batch, 'PREFLIGHT', performed_by);
    PERFORM control.plan_workers(the_batch, the_period, rows_per_worker);
    PERFORM control.set_batch_state(the_batch, 'PROCESSING', performed_by);
    RETURN the_batch;
END $$;

-- Lays the unprocessed loads end to end, by position in their files, and cuts the row every rows_per_worker positions.
CREATE FUNCTION control.plan_workers(the_batch text, the_period text, rows_per_worker integer)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO control.batch_worker (batch_id, worker_number, records_expected)
    SELECT the_batch, worker_number, 0
    FROM (SELECT sum(row_count) AS positions FROM control.unprocessed_load WHERE period = the_period) AS loads,
         generate_series(1, ((positions + rows_per_worker - 1) / rows_per_worker)::integer) AS worker_number;

    INSERT INTO control.batch_worker_slice (batch_id, worker_number, load_id, first_row_number, last_row_number)
    SELECT the_batch, w.worker_number, l.load_id,
           greatest((w.worker_number - 1)::bigint * rows_per_worker - l.positions_before, 0) + 1,
           least(w.worker_number::bigint * rows_per_worker - l.positions_before, l.row_count)
    FROM control.batch_worker w
    JOIN (SELECT load_id, row_count, sum(row_count) OVER (ORDER BY load_id) - row_count AS positions_before
          FROM control.unprocessed_load WHERE period = the_period) AS l
      ON l.positions_before < w.worker_number::bigint * rows_per_worker
     AND l.positions_before + l.row_count > (w.worker_number - 1)::bigint * rows_per_worker
    WHERE w.batch_id = the_batch;

    UPDATE control.batch SET source_checksum = (
        SELECT coalesce(sum(l.checksum), 0) FROM source.load l JOIN control.unprocessed_load USING (load_id) WHERE l.period = the_period)
    WHERE batch_id = the_batch;

    INSERT INTO control.batch_source_count (batch_id, source_type, expected_count)
    SELECT the_batch, t.txn_type, sum(t.row_count)
    FROM control.unprocessed_load u JOIN source.load_total t USING (load_id)
    WHERE u.period = the_period GROUP BY t.txn_type;
$$;

-- ---------------------------------------------------------------------------------------------------- a worker's leaves

CREATE FUNCTION staging.require_attempt(the_batch text, the_attempt integer) RETURNS control.batch LANGUAGE plpgsql AS $$
DECLARE
    b control.batch;
BEGIN
    -- FOR SHARE: the batch cannot be replaced, posted or aborted until this worker's transaction ends.
    SELECT * INTO b FROM control.batch WHERE batch_id = the_batch FOR SHARE;
    IF b.state IS DISTINCT FROM 'PROCESSING' OR b.attempt <> the_attempt THEN
        RAISE EXCEPTION 'attempt % of batch % is no longer being staged (now attempt %, %)',
            the_attempt, the_batch, b.attempt, b.state
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Another run replaced it; look at control.batch.';
    END IF;
    RETURN b;
END $$;

-- Two empty tables for one worker. To be called in the transaction that fills them: COPY … FREEZE asks for that.
CREATE FUNCTION staging.create_leaves(the_batch text, the_attempt integer, the_worker integer, first_number integer, last_number integer,
                                      OUT header_leaf text, OUT line_leaf text)
LANGUAGE plpgsql AS $$
DECLARE
    b      control.batch := staging.require_attempt(the_batch, the_attempt);
    suffix text;
BEGIN
    suffix := format('%s_a%s_w%s', replace(lower(the_batch), '-', '_'), the_attempt, lpad(the_worker::text, 3, '0'));
    header_leaf := format('staging.%I', 'je_header_' || suffix);
    line_leaf   := format('staging.%I', 'je_line_' || suffix);
    EXECUTE format('CREATE TABLE %s (LIKE staging.je_header, CHECK (period = %L), '
                   'CHECK (je_number >= %s AND je_number <= %s), CHECK (total_amount > 0))',
                   header_leaf, b.period, first_number, last_number);
    EXECUTE format('CREATE TABLE %s (LIKE staging.je_line, CHECK (period = %L), '
                   'CHECK (je_number >= %s AND je_number <= %s), CHECK (amount <> 0))',
                   line_leaf, b.period, first_number, last_number);
END $$;

-- Keys, guards and the worker's record, in the same transaction as the rows: a worker is there completely or not at all.
CREATE FUNCTION staging.finish_worker(the_batch text, the_attempt integer, the_worker integer, records bigint,
                                      first_number integer, last_number integer, lines bigint, header_leaf text, line_leaf text,
                                      started timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM staging.require_attempt(the_batch, the_attempt);
    IF header_leaf IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %s ADD PRIMARY KEY (je_number)', header_leaf);
        EXECUTE format('ALTER TABLE %s ADD PRIMARY KEY (je_number, line_number)', line_leaf);
        PERFORM control.guard_table(header_leaf::regclass, true), control.guard_table(line_leaf::regclass, true);
        EXECUTE format('ALTER TABLE %s INHERIT staging.je_header', header_leaf);
        EXECUTE format('ALTER TABLE %s INHERIT staging.je_line', line_leaf);
    END IF;
    UPDATE control.batch_worker w SET status = 'COMPLETED', records_expected = records, records_processed = records,
        first_je_number = first_number, last_je_number = last_number, entry_count = coalesce(last_number - first_number + 1, 0),
        line_count = lines, started_at = started, completed_at = clock_timestamp(), error = NULL,
        header_leaf = finish_worker.header_leaf::regclass, line_leaf = finish_worker.line_leaf::regclass
    WHERE w.batch_id = the_batch AND w.worker_number = the_worker;
    INSERT INTO control.batch_checkpoint (batch_id, worker_number, attempt, records_processed, last_je_number)
    VALUES (the_batch, the_worker, the_attempt, records, last_number);
END $$;

CREATE FUNCTION staging.finish_batch(the_batch text, the_attempt integer, performed_by text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    unfinished text;
BEGIN
    PERFORM staging.require_attempt(the_batch, the_attempt);
    SELECT string_agg(worker_number::text, ', ') INTO unfinished
    FROM control.batch_worker WHERE batch_id = the_batch AND status <> 'COMPLETED';
    IF unfinished IS NOT NULL THEN
        RAISE EXCEPTION 'workers % of batch % have not completed', unfinished, the_batch USING ERRCODE = 'LA002';
    END IF;
    UPDATE control.batch b SET (entry_count, line_count, last_je_number) = (
        SELECT coalesce(sum(w.entry_count), 0), coalesce(sum(w.line_count), 0), max(w.last_je_number)
        FROM control.batch_worker w WHERE w.batch_id = the_batch)
    WHERE b.batch_id = the_batch;
    PERFORM control.set_batch_state(the_batch, 'VALIDATING', performed_by);
END $$;
