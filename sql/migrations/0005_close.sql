-- The steps of a close that PostgreSQL itself must vouch for: opening a batch, writing leaves, measuring, posting, balances.

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
        PERFORM control.guard_table(format('ledger.%I', month)::regclass);
        EXECUTE format('ALTER TABLE ledger.%I ATTACH PARTITION ledger.%I FOR VALUES IN (%L)', root, month, the_period);
    END LOOP;
END $$;

CREATE FUNCTION control.drop_staged_leaves(the_batch text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    leaf regclass;
BEGIN
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
    INSERT INTO control.period (period) VALUES (the_period) ON CONFLICT DO NOTHING;
    SELECT next_je_number INTO base FROM control.period WHERE period = the_period FOR UPDATE;
    FOR failure IN SELECT * FROM control.preflight_failures(the_period, first_period) LOOP
        RAISE EXCEPTION '%', failure.problem USING ERRCODE = 'LA001', HINT = failure.fix, CONSTRAINT = failure.rule;
    END LOOP;

    SELECT count(*) FILTER (WHERE state IN ('COMMITTED', 'ROLLED_BACK', 'ABORTED')),
           max(batch_id) FILTER (WHERE state NOT IN ('COMMITTED', 'ROLLED_BACK', 'ABORTED'))
    INTO posted, replaced FROM control.batch WHERE period = the_period AND kind = the_kind;
    IF the_kind = 'MONTHEND'
       AND EXISTS (SELECT FROM control.batch WHERE period = the_period AND kind = 'MONTHEND' AND state = 'COMMITTED')
       AND NOT EXISTS (SELECT FROM control.unprocessed_load WHERE period = the_period) THEN
        RETURN NULL;
    END IF;
    the_batch := coalesce(replaced, the_period || '-' || the_kind
                                    || CASE WHEN posted > 0 THEN to_char(posted + 1, 'FM"-"00') ELSE '' END);
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
        PERFORM control.guard_table(header_leaf::regclass), control.guard_table(line_leaf::regclass);
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

-- ---------------------------------------------------------------------------------------------------- measuring

CREATE FUNCTION control.measure_load(the_load integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    l source.load;
BEGIN
    -- FOR UPDATE: whoever changes the rows meanwhile has to bump the version after us.
    SELECT * INTO STRICT l FROM source.load WHERE load_id = the_load FOR UPDATE;
    IF EXISTS (SELECT FROM control.load_measure m WHERE m.load_id = the_load AND m.content_version = l.content_version) THEN
        RETURN;
    END IF;
    DELETE FROM control.load_measure WHERE load_id = the_load;
    IF l.leaf IS NULL THEN  -- withdrawn after it was staged
        INSERT INTO control.load_measure (load_id, content_version, row_count, checksum) VALUES (the_load, l.content_version, 0, 0);
        RETURN;
    END IF;
    EXECUTE format($q$
        WITH by_type AS MATERIALIZED (
            SELECT txn_type, count(*) AS row_count, sum(tabarru_amount) AS tabarru, sum(tanahud_amount) AS tanahud,
                   sum(ujroh_amount) AS ujroh FROM %s GROUP BY txn_type),
        measure AS (
            INSERT INTO control.load_measure (load_id, content_version, row_count, checksum)
            SELECT $1, $2, coalesce(sum(row_count), 0), source.load_checksum($1) FROM by_type
            RETURNING load_id)
        INSERT INTO control.load_measure_total (load_id, txn_type, row_count, tabarru_total, tanahud_total, ujroh_total)
        SELECT $1, txn_type, row_count, tabarru, tanahud, ujroh FROM by_type, measure $q$, l.leaf)
    USING the_load, l.content_version;
END $$;

-- One pass over the lines in the order of their key gives, for each entry, its balance, its balance in each fund and its
-- debits, next to the header's total; a second pass gives the totals per account.
CREATE FUNCTION control.measure_worker(the_batch text, the_worker integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    w             control.batch_worker;
    fund_sums     text;
    fund_unequal  text;
BEGIN
    SELECT * INTO STRICT w FROM control.batch_worker WHERE batch_id = the_batch AND worker_number = the_worker FOR UPDATE;
    IF EXISTS (SELECT FROM control.worker_measure m WHERE m.batch_id = the_batch AND m.worker_number = the_worker
               AND m.content_version = w.content_version) THEN
        RETURN;
    END IF;
    DELETE FROM control.worker_measure WHERE batch_id = the_batch AND worker_number = the_worker;
    IF w.line_leaf IS NULL THEN
        INSERT INTO control.worker_measure (batch_id, worker_number, content_version, entry_count, line_count, debit_total,
            credit_total, unbalanced_entries, fund_unbalanced_entries, header_line_mismatches)
        VALUES (the_batch, the_worker, w.content_version, 0, 0, 0, 0, 0, 0, 0);
        RETURN;
    END IF;
    SELECT string_agg(format('coalesce(sum(amount) FILTER (WHERE account_id = ANY (%L::smallint[])), 0) AS fund_%s', accounts, n), ', '),
           string_agg(format('fund_%s <> 0', n), ' OR ')
    INTO fund_sums, fund_unequal
    FROM (SELECT row_number() OVER (ORDER BY fund) AS n, array_agg(account_id) AS accounts
          FROM acct.chart_of_accounts GROUP BY fund) AS funds;
    EXECUTE format($q$
        INSERT INTO control.worker_measure (batch_id, worker_number, content_version, entry_count, line_count,
            first_je_number, last_je_number, debit_total, credit_total, unbalanced_entries, fund_unbalanced_entries,
            header_line_mismatches)
        SELECT $1, $2, $3, count(h.je_number), coalesce(sum(e.lines), 0), min(h.je_number), max(h.je_number),
               coalesce(sum(e.debit), 0), coalesce(sum(e.debit - e.net), 0),
               count(*) FILTER (WHERE e.net <> 0), count(*) FILTER (WHERE %2$s),
               count(*) FILTER (WHERE h.total_amount IS DISTINCT FROM e.debit)
        FROM %3$s h
        FULL JOIN (SELECT je_number, count(*) AS lines, sum(amount) AS net,
                          coalesce(sum(amount) FILTER (WHERE amount > 0), 0) AS debit, %1$s
                   FROM %4$s GROUP BY je_number) AS e USING (je_number) $q$,
        fund_sums, fund_unequal, w.header_leaf, w.line_leaf)
    USING the_batch, the_worker, w.content_version;
    EXECUTE format($q$
        INSERT INTO control.worker_measure_account (batch_id, worker_number, account_id, line_count, debit_total, credit_total)
        SELECT $1, $2, account_id, count(*), coalesce(sum(amount) FILTER (WHERE amount > 0), 0),
               coalesce(-sum(amount) FILTER (WHERE amount < 0), 0)
        FROM %s GROUP BY account_id $q$, w.line_leaf) USING the_batch, the_worker;
    EXECUTE format($q$
        INSERT INTO control.worker_measure_source (batch_id, worker_number, source_type, transaction_count)
        SELECT $1, $2, t.source_type, count(*)
        FROM %s h JOIN acct.journal_template t USING (template_id)
        WHERE h.source_entry = 1 GROUP BY t.source_type $q$, w.header_leaf) USING the_batch, the_worker;
END $$;

-- ---------------------------------------------------------------------------------------------------- the gates, enforced

CREATE VIEW control.batch_load AS
SELECT DISTINCT batch_id, load_id FROM control.batch_worker_slice;

-- The five gates once more, as conditions on the same control totals: what `accounting/gates.py` explains, this enforces.
-- No row = the batch may be posted.
CREATE FUNCTION control.failed_conditions(the_batch text)
RETURNS TABLE (gate text, condition text) LANGUAGE sql STABLE AS $$
    WITH b AS (SELECT * FROM control.batch WHERE batch_id = the_batch),
    loads AS (SELECT load_id FROM control.batch_load WHERE batch_id = the_batch),
    source_counts AS (SELECT t.txn_type, sum(t.row_count) AS n, sum(tabarru_total) AS tabarru, sum(tanahud_total) AS tanahud,
                             sum(ujroh_total) AS ujroh
                      FROM loads JOIN control.load_measure_total t USING (load_id) GROUP BY t.txn_type),
    staged_counts AS (SELECT source_type, sum(transaction_count) AS n
                      FROM control.worker_measure_source WHERE batch_id = the_batch GROUP BY source_type),
    workers AS (SELECT m.*, w.first_je_number AS first_reserved, w.last_je_number AS last_reserved,
                       lag(w.last_je_number) OVER (ORDER BY w.first_je_number) AS last_before
                FROM control.worker_measure m JOIN control.batch_worker w USING (batch_id, worker_number)
                WHERE m.batch_id = the_batch AND (m.entry_count > 0 OR w.entry_count > 0)),
    accounts AS (SELECT m.account_id, sum(m.debit_total) AS debit, sum(m.credit_total) AS credit
                 FROM control.worker_measure_account m WHERE m.batch_id = the_batch GROUP BY m.account_id),
    components AS (SELECT txn_type, component, amount FROM source_counts,
                   LATERAL (VALUES ('tabarru_amount', tabarru), ('tanahud_amount', tanahud), ('ujroh_amount', ujroh)) AS c (component, amount)),
    recognised AS (SELECT a.recognised_type, a.recognised_component,
                          sum(CASE a.account_type WHEN 'EXPENSE' THEN x.debit - x.credit ELSE x.credit - x.debit END) * 0.01 AS amount
                   FROM accounts x JOIN acct.chart_of_accounts a USING (account_id)
                   WHERE a.recognised_type IS NOT NULL GROUP BY 1, 2)
    SELECT 'record_count', format('%s: %s transactions in the source, %s journaled', coalesce(s.txn_type, g.source_type), coalesce(s.n, 0), coalesce(g.n, 0))
    FROM source_counts s FULL JOIN staged_counts g ON g.source_type = s.txn_type WHERE s.n IS DISTINCT FROM g.n
  UNION ALL
    SELECT 'record_count', format('%s exceptions are open', count(*))
    FROM control.exception_queue WHERE batch_id = the_batch AND status = 'OPEN' HAVING count(*) > 0
  UNION ALL
    SELECT 'record_count', format('worker %s stored %s entries and %s lines, the leaves hold %s and %s',
                                  w.worker_number, w.entry_count, w.line_count, m.entry_count, m.line_count)
    FROM control.batch_worker w JOIN control.worker_measure m USING (batch_id, worker_number)
    WHERE w.batch_id = the_batch AND (w.entry_count, w.line_count) IS DISTINCT FROM (m.entry_count, m.line_count)
  UNION ALL
    SELECT 'sequence_integrity', format('worker %s: %s entries in numbers %s to %s, reserved %s to %s',
                                        w.worker_number, w.entry_count, w.first_je_number, w.last_je_number, w.first_reserved, w.last_reserved)
    FROM workers w, b
    WHERE (w.first_je_number, w.last_je_number, w.entry_count)
          IS DISTINCT FROM (w.first_reserved, w.last_reserved, w.last_reserved - w.first_reserved + 1::bigint)
       OR w.first_reserved <> coalesce(w.last_before + 1, b.first_je_number)
  UNION ALL
    SELECT 'sequence_integrity', format('the batch starts at number %s, the next free number of the period is %s', b.first_je_number, p.next_je_number)
    FROM b JOIN control.period p USING (period) WHERE b.first_je_number <> p.next_je_number
  UNION ALL
    SELECT 'debit_credit_balance', format('worker %s: %s entries out of balance, %s out of balance within a fund, %s differ from their header',
                                          worker_number, unbalanced_entries, fund_unbalanced_entries, header_line_mismatches)
    FROM workers WHERE unbalanced_entries + fund_unbalanced_entries + header_line_mismatches > 0 OR debit_total <> credit_total
  UNION ALL
    SELECT 'fund_reconciliation', format('%s %s: %s in the source, %s in the fund''s lines',
                                         coalesce(c.txn_type, r.recognised_type), coalesce(c.component, r.recognised_component),
                                         coalesce(c.amount, 0), coalesce(r.amount, 0))
    FROM components c FULL JOIN recognised r ON r.recognised_type = c.txn_type AND r.recognised_component = c.component
    WHERE coalesce(c.amount, 0) <> coalesce(r.amount, 0)
  UNION ALL
    SELECT 'fund_reconciliation', format('account_id %s is %s', x.account_id, CASE WHEN a.account_id IS NULL THEN 'unknown' ELSE 'closed' END)
    FROM accounts x LEFT JOIN acct.chart_of_accounts a USING (account_id) WHERE a.is_open IS NOT TRUE
  UNION ALL
    SELECT 'source_unchanged', format('load %s: %s rows with checksum %s when loaded, %s with %s now',
                                      l.load_id, l.accepted_count, l.checksum, m.row_count, m.checksum)
    FROM loads JOIN source.load l USING (load_id) LEFT JOIN control.load_measure m USING (load_id)
    WHERE (l.accepted_count, l.checksum) IS DISTINCT FROM (m.row_count, m.checksum)
$$;

-- ---------------------------------------------------------------------------------------------------- the commit

-- Posts the batch in the caller's transaction: everything below happens or nothing does. Returns false when the batch is
-- posted already. Its cost grows with the number of leaves, not of rows, as long as the gates have measured the leaves;
-- what nobody measured, or was changed since, is measured here.
CREATE FUNCTION ledger.post_batch(the_batch text, first_period text, performed_by text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    b       control.batch;
    failure record;
    w       control.batch_worker;
    l       record;
BEGIN
    SELECT * INTO b FROM control.batch WHERE batch_id = the_batch;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no batch %', the_batch USING ERRCODE = 'LA002', HINT = 'control.batch lists them.';
    END IF;
    -- The period's row is the lock that two committers, or a committer and a stager, meet at.
    PERFORM FROM control.period WHERE period = b.period FOR UPDATE;
    SELECT * INTO b FROM control.batch WHERE batch_id = the_batch FOR UPDATE;
    IF b.state = 'COMMITTED' THEN
        RETURN false;
    END IF;
    IF b.kind <> 'MONTHEND' OR b.state NOT IN ('VALIDATING', 'VALIDATED') THEN
        RAISE EXCEPTION 'batch % cannot be posted from state %', the_batch, b.state
            USING ERRCODE = 'LA002', DETAIL = coalesce(b.failure_reason, ''),
                  HINT = 'stage the period again; its gates have to pass first';
    END IF;
    FOR failure IN SELECT * FROM control.preflight_failures(b.period, first_period) LOOP
        RAISE EXCEPTION '%', failure.problem USING ERRCODE = 'LA001', HINT = failure.fix, CONSTRAINT = failure.rule;
    END LOOP;

    -- Nobody can change what is measured from here to the end of the transaction.
    FOR l IN SELECT s.load_id, s.leaf FROM control.batch_load x JOIN source.load s USING (load_id)
             WHERE x.batch_id = the_batch ORDER BY s.load_id LOOP
        IF l.leaf IS NOT NULL THEN
            EXECUTE format('LOCK TABLE %s IN SHARE MODE', l.leaf);
        END IF;
        PERFORM control.measure_load(l.load_id);
    END LOOP;
    FOR w IN SELECT * FROM control.batch_worker WHERE batch_id = the_batch ORDER BY worker_number LOOP
        IF w.header_leaf IS NOT NULL THEN
            EXECUTE format('LOCK TABLE %s, %s IN ACCESS EXCLUSIVE MODE', w.header_leaf, w.line_leaf);
        END IF;
        PERFORM control.measure_worker(the_batch, w.worker_number);
    END LOOP;
    FOR failure IN SELECT * FROM control.failed_conditions(the_batch) LIMIT 1 LOOP
        RAISE EXCEPTION 'batch % fails %: %', the_batch, failure.gate, failure.condition
            USING ERRCODE = 'LA003', CONSTRAINT = failure.gate, HINT = 'Run the gates to see the rows.';
    END LOOP;

    FOR w IN SELECT * FROM control.batch_worker WHERE batch_id = the_batch AND line_leaf IS NOT NULL ORDER BY worker_number LOOP
        PERFORM ledger.attach_leaf('je_header', b.period, w.header_leaf, w.first_je_number, w.last_je_number);
        PERFORM ledger.attach_leaf('je_line', b.period, w.line_leaf, w.first_je_number, w.last_je_number);
    END LOOP;
    INSERT INTO control.load_batch (load_id, batch_id) SELECT load_id, batch_id FROM control.batch_load WHERE batch_id = the_batch;
    IF b.entry_count > 0 THEN
        UPDATE control.period SET next_je_number = b.last_je_number + 1 WHERE period = b.period;
        INSERT INTO control.sequence_reservation_log (batch_id, period, first_je_number, last_je_number, entry_count)
        VALUES (the_batch, b.period, b.first_je_number, b.last_je_number, b.entry_count);
    END IF;
    UPDATE control.batch_source_count c SET actual_count = coalesce((
        SELECT sum(transaction_count) FROM control.worker_measure_source m
        WHERE m.batch_id = the_batch AND m.source_type = c.source_type), 0)
    WHERE c.batch_id = the_batch;
    PERFORM ledger.move_fund_balances(the_batch, b.period);
    -- The balances of the month, if they were taken already, are not those of the ledger any more.
    UPDATE control.period SET status = 'OPEN', closed_at = NULL WHERE period = b.period AND status = 'CLOSED';
    PERFORM control.set_batch_state(the_batch, 'COMMITTED', performed_by);
    RETURN true;
END $$;

CREATE FUNCTION ledger.attach_leaf(root text, the_period text, leaf regclass, first_number integer, last_number integer)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    leaf_name text;
BEGIN
    SELECT relname INTO leaf_name FROM pg_class WHERE oid = leaf;
    EXECUTE format('ALTER TABLE %s NO INHERIT staging.%I', leaf, root);
    EXECUTE format('ALTER TABLE %s SET SCHEMA ledger', leaf);
    EXECUTE format('ALTER TABLE ledger.%I ATTACH PARTITION ledger.%I FOR VALUES FROM (%s) TO (%s)',
                   root || '_' || control.period_suffix(the_period), leaf_name, first_number, last_number + 1);
END $$;

CREATE FUNCTION ledger.move_fund_balances(the_batch text, the_period text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO ledger.fund_balance (period, fund, opening_balance)
    SELECT the_period, f.fund, coalesce(p.closing_balance, 0)
    FROM (SELECT DISTINCT fund FROM acct.chart_of_accounts) AS f
    LEFT JOIN ledger.fund_balance p ON p.period = control.previous_period(the_period) AND p.fund = f.fund
    ON CONFLICT (period, fund) DO NOTHING;

    UPDATE ledger.fund_balance b
    SET income = b.income + m.income, expense = b.expense + m.expense, equity_movement = b.equity_movement + m.equity
    FROM (SELECT a.fund,
                 coalesce(sum(t.credit_total - t.debit_total) FILTER (WHERE a.account_type = 'INCOME'), 0) * 0.01 AS income,
                 coalesce(sum(t.debit_total - t.credit_total) FILTER (WHERE a.account_type = 'EXPENSE'), 0) * 0.01 AS expense,
                 coalesce(sum(t.credit_total - t.debit_total) FILTER (WHERE a.account_type = 'EQUITY'), 0) * 0.01 AS equity
          FROM control.worker_measure_account t JOIN acct.chart_of_accounts a USING (account_id)
          WHERE t.batch_id = the_batch GROUP BY a.fund) AS m
    WHERE b.period = the_period AND b.fund = m.fund;
$$;

-- ---------------------------------------------------------------------------------------------------- balances

-- Takes the balances of the period from the control totals of its posted batches, on top of the month before, and closes
-- the period. Safe to repeat: the same rows come out. Raises when the month before is not closed.
CREATE FUNCTION ledger.take_snapshot(the_period text, first_period text, performed_by text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    failure  record;
    accounts integer;
    before   text;
BEGIN
    INSERT INTO control.period (period) VALUES (the_period) ON CONFLICT DO NOTHING;
    SELECT status INTO before FROM control.period WHERE period = the_period FOR UPDATE;
    FOR failure IN SELECT * FROM control.preflight_failures(the_period, first_period) 
                   WHERE rule IN ('first_period', 'predecessor_closed') LOOP
        RAISE EXCEPTION '%', failure.problem USING ERRCODE = 'LA001', HINT = failure.fix, CONSTRAINT = failure.rule;
    END LOOP;
    IF NOT EXISTS (SELECT FROM control.batch WHERE period = the_period AND state = 'COMMITTED') THEN
        RAISE EXCEPTION '% has no posted batch', the_period
            USING ERRCODE = 'LA002', HINT = format('run ledger-assets close %s', the_period);
    END IF;
    DELETE FROM ledger.account_balance_snapshot WHERE period = the_period;
    INSERT INTO ledger.account_balance_snapshot (period, account_code, fund, opening_balance, debit, credit)
    SELECT the_period, a.account_code, a.fund, coalesce(o.closing_balance, 0),
           coalesce(m.debit, 0) * 0.01, coalesce(m.credit, 0) * 0.01
    FROM acct.chart_of_accounts a
    LEFT JOIN ledger.account_balance_snapshot o
           ON o.period = control.previous_period(the_period) AND o.account_code = a.account_code
    LEFT JOIN (SELECT t.account_id, sum(t.debit_total) AS debit, sum(t.credit_total) AS credit
               FROM control.worker_measure_account t JOIN control.batch b USING (batch_id)
               WHERE b.period = the_period AND b.state = 'COMMITTED' GROUP BY t.account_id) AS m USING (account_id)
    WHERE m.account_id IS NOT NULL OR o.account_code IS NOT NULL;
    GET DIAGNOSTICS accounts = ROW_COUNT;
    UPDATE control.period SET status = 'CLOSED', closed_at = coalesce(closed_at, clock_timestamp()) WHERE period = the_period;
    IF before = 'OPEN' THEN
        INSERT INTO audit.batch_operation (period, operation, performed_by, state_before, state_after, outcome, details)
        VALUES (the_period, 'CLOSE_PERIOD', performed_by, before, 'CLOSED', 'SUCCESS', jsonb_build_object('accounts', accounts));
    END IF;
    RETURN accounts;
END $$;
