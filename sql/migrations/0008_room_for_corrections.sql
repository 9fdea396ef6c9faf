-- Room for what comes after a posting: derived batches (reversal, year end), months that close and lock, late transactions,
-- rows that are kept aside, and a seal on each posted batch.

CREATE SCHEMA quarantine;
COMMENT ON SCHEMA quarantine IS 'Entries of batches that were rolled back: no longer in the books, kept for the auditor.';

ALTER TABLE control.batch DROP CONSTRAINT batch_kind_check,
    ADD CONSTRAINT batch_kind_check CHECK (kind IN ('MONTHEND', 'DRYRUN', 'REVERSAL', 'YEAREND'));
ALTER TABLE control.batch ADD COLUMN reverses_batch_id text REFERENCES control.batch,
    ADD CONSTRAINT a_reversal_names_what_it_reverses CHECK ((kind = 'REVERSAL') = (reverses_batch_id IS NOT NULL));

-- One open batch a month, whatever its kind: its numbers start where the posted ones end.
DROP INDEX control.one_open_batch_per_period;
CREATE UNIQUE INDEX one_open_batch_per_period ON control.batch (period)
    WHERE kind <> 'DRYRUN' AND state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK');

ALTER TABLE control.period DROP CONSTRAINT period_status_check,
    ADD CONSTRAINT period_status_check CHECK (status IN ('OPEN', 'CLOSING', 'CLOSED', 'LOCKED'));
ALTER TABLE control.period DROP CONSTRAINT period_check,
    ADD CONSTRAINT period_check CHECK ((status IN ('CLOSED', 'LOCKED')) = (closed_at IS NOT NULL));
COMMENT ON TABLE control.period IS 'The months of the books. CLOSED = its balances are taken and carried to the next month; LOCKED = and published.';

-- A nullable last column costs no byte in the rows that have none.
ALTER TABLE staging.je_header ADD COLUMN original_date date;
ALTER TABLE ledger.je_header  ADD COLUMN original_date date;
COMMENT ON COLUMN staging.je_header.original_date IS 'The date of a transaction that came too late for its own month; je_date then lies in the month that it is booked in.';

-- Called by the posting transaction when the leaves are attached.
CREATE FUNCTION ledger.seal_batch(the_batch text) RETURNS void LANGUAGE sql AS '';

-- The balances of the month, if they were taken already, are not those of the ledger any more.
CREATE FUNCTION control.note_posting(the_period text) RETURNS void LANGUAGE sql AS $$
    UPDATE control.period SET status = 'OPEN', closed_at = NULL WHERE period = the_period AND status = 'CLOSED';
$$;

-- Posts the batch in the caller's transaction: everything below happens or nothing does. Returns false when the batch is
-- posted already. Its cost grows with the number of leaves, not of rows, as long as the gates have measured the leaves;
-- what nobody measured, or was changed since, is measured here.
CREATE OR REPLACE FUNCTION ledger.post_batch(the_batch text, first_period text, performed_by text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    b       control.batch;
    failure record;
    w       control.batch_worker;
    l       record;
BEGIN
    PERFORM control.require_read_committed();
    SELECT * INTO b FROM control.batch WHERE batch_id = the_batch;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no batch %', the_batch USING ERRCODE = 'LA002', HINT = 'control.batch lists them.';
    END IF;
    -- The period's row is the lock that two committers, or a committer and a stager, meet at.
    PERFORM FROM control.period WHERE period = b.period FOR UPDATE;
    -- Nor may the month before be reopened until this one stands on its balances.
    PERFORM FROM control.period WHERE period = control.previous_period(b.period) FOR SHARE;
    SELECT * INTO b FROM control.batch WHERE batch_id = the_batch FOR UPDATE;
    IF b.state = 'COMMITTED' THEN
        RETURN false;
    END IF;
    IF b.kind = 'DRYRUN' OR b.state NOT IN ('VALIDATING', 'VALIDATED') THEN
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
        IF control.is_there(l.leaf) THEN
            EXECUTE format('LOCK TABLE %s IN SHARE MODE', l.leaf);
        END IF;
        PERFORM control.measure_load(l.load_id);
    END LOOP;
    FOR w IN SELECT * FROM control.batch_worker WHERE batch_id = the_batch ORDER BY worker_number LOOP
        IF control.is_there(w.header_leaf) AND control.is_there(w.line_leaf) THEN
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
    PERFORM control.note_posting(b.period);
    PERFORM ledger.seal_batch(the_batch);
    PERFORM control.set_batch_state(the_batch, 'COMMITTED', performed_by);
    RETURN true;
END $$;
