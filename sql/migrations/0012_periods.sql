-- The life of a month (E4): open, closing, closed, locked; what came too late for it; its reopening, and every close of it kept.

-- ---------------------------------------------------------------------------------------------------- the life cycle

COMMENT ON TABLE control.period IS 'The months of the books. CLOSING = a batch of it was opened; CLOSED = its balances are taken and '
    'carried to the next month; LOCKED = and published: it takes nothing more unless it is reopened.';

CREATE FUNCTION control.is_closed(the_period text) RETURNS boolean LANGUAGE sql STABLE
    RETURN EXISTS (SELECT FROM control.period p WHERE p.period = the_period AND p.status IN ('CLOSED', 'LOCKED'));

-- Every change of a month's status goes through here: allowed or not, and written down. The caller holds the month's row.
CREATE FUNCTION control.set_period_status(the_period text, new_status text, the_operation text, performed_by text,
                                          the_batch text DEFAULT NULL, details jsonb DEFAULT '{}', next_number integer DEFAULT NULL)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    before  text := (SELECT p.status FROM control.period p WHERE p.period = the_period);
    allowed CONSTANT jsonb := '{
        "OPEN":    ["CLOSING", "CLOSED"],
        "CLOSING": ["CLOSED", "OPEN"],
        "CLOSED":  ["CLOSING", "LOCKED", "OPEN"],
        "LOCKED":  ["OPEN"]}';
BEGIN
    IF (allowed -> before ? new_status) IS NOT TRUE THEN
        RAISE EXCEPTION '%: it cannot go from % to %', the_period, before, new_status
            USING ERRCODE = 'LA002', HINT = format('From %s a month can go to: %s.', before, allowed -> before);
    END IF;
    UPDATE control.period p
    SET status = new_status,
        next_je_number = coalesce(next_number, p.next_je_number),
        closed_at = CASE WHEN new_status IN ('CLOSED', 'LOCKED') THEN coalesce(p.closed_at, clock_timestamp()) END
    WHERE p.period = the_period;
    INSERT INTO audit.batch_operation (batch_id, period, operation, performed_by, state_before, state_after, outcome, details)
    VALUES (the_batch, the_period, the_operation, performed_by, before, new_status, 'SUCCESS', details);
END $$;

-- The balances of a closed month, if they were taken already, are not those of the ledger any more. Called by the posting
-- transaction, whose batch is the only open one of the month, with the month's next number if that has changed.
DROP FUNCTION control.note_posting(text);
CREATE FUNCTION control.note_posting(the_period text, next_number integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    before text := (SELECT p.status FROM control.period p WHERE p.period = the_period);
    b      control.batch;
BEGIN
    SELECT * INTO b FROM control.batch x
    WHERE x.period = the_period AND x.kind <> 'DRYRUN' AND x.state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK');
    IF before = 'CLOSED' OR (before = 'OPEN' AND b.kind = 'MONTHEND') THEN
        PERFORM control.set_period_status(the_period, 'CLOSING', 'CLOSING_PERIOD', coalesce(b.started_by, session_user), b.batch_id,
                                          next_number => next_number);
    ELSIF next_number IS NOT NULL THEN
        UPDATE control.period p SET next_je_number = next_number WHERE p.period = the_period;
    END IF;
END $$;

-- Locks the month and every closed month before it; returns those that were not locked yet.
CREATE FUNCTION control.lock_period(the_period text, performed_by text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    before text;
    month  text;
BEGIN
    PERFORM control.require_read_committed();
    -- From the latest on, like everybody who holds several months.
    PERFORM FROM control.period p WHERE p.period <= the_period ORDER BY p.period DESC FOR UPDATE;
    SELECT p.status INTO before FROM control.period p WHERE p.period = the_period;
    IF before IS NULL OR before NOT IN ('CLOSED', 'LOCKED') THEN
        RAISE EXCEPTION '%: only a closed month can be locked, it is %', the_period, coalesce(before, 'OPEN')
            USING ERRCODE = 'LA002', HINT = format('run ledger-assets close %s first', the_period);
    END IF;
    FOR month IN SELECT p.period FROM control.period p WHERE p.period <= the_period AND p.status = 'CLOSED' ORDER BY p.period LOOP
        PERFORM control.set_period_status(month, 'LOCKED', 'LOCK_PERIOD', performed_by, NULL, jsonb_build_object('up_to', the_period));
        RETURN NEXT month;
    END LOOP;
END $$;

-- ---------------------------------------------------------------------------------------------------- late transactions

-- Closed months follow each other without a hole, so what comes too late for one of them is booked after the last.
CREATE FUNCTION control.month_to_book_in(the_period text) RETURNS text LANGUAGE sql STABLE RETURN
    CASE WHEN control.is_closed(the_period) THEN
        (SELECT to_char(to_date(max(p.period), 'YYYY-MM') + interval '1 month', 'YYYY-MM')
         FROM control.period p WHERE p.status IN ('CLOSED', 'LOCKED'))
    ELSE the_period END;

-- The months of which a close of this one takes the transactions: itself, and the closed ones before it. A closed month is
-- not touched for others' sake; when it is closed again for its own, it takes theirs along.
CREATE FUNCTION control.months_booked_in(the_period text) RETURNS SETOF text LANGUAGE sql STABLE AS $$
    SELECT the_period
  UNION ALL
    SELECT p.period FROM control.period p
    WHERE p.period < the_period COLLATE "C" AND p.status IN ('CLOSED', 'LOCKED')
      AND (NOT control.is_closed(the_period) OR EXISTS (SELECT FROM control.unprocessed_load u WHERE u.period = the_period))
$$;

CREATE FUNCTION control.loads_to_journal(the_period text) RETURNS SETOF control.unprocessed_load LANGUAGE sql STABLE AS $$
    SELECT u.* FROM control.unprocessed_load u WHERE u.period IN (SELECT control.months_booked_in(the_period))
$$;

CREATE VIEW ledger.late_entry AS
SELECT h.period, w.batch_id, h.je_number, h.je_date, h.original_date, to_char(h.original_date, 'YYYY-MM') AS original_period, h.source_id
FROM ledger.je_header h
JOIN control.batch_worker w ON w.header_leaf = h.tableoid
JOIN control.batch b ON b.batch_id = w.batch_id AND b.state = 'COMMITTED' AND b.batch_id = ANY (control.posted_when_planned())
WHERE h.original_date IS NOT NULL AND b.kind = 'MONTHEND';  -- a reversal bears the date of the entry that it answers
COMMENT ON VIEW ledger.late_entry IS 'Posted entries of transactions that came too late for their own month, with the date that they bear.';

-- ---------------------------------------------------------------------------------------------------- what stands in the way

CREATE VIEW control.closing_obstacle AS
SELECT control.month_to_book_in(u.period) AS period, 'UNPROCESSED_LOAD' AS kind, 'load ' || u.load_id AS subject,
       format('%s of %s, %s rows in no posted batch', l.file_name, u.period, u.accepted_count) AS detail,
       format('run ledger-assets close %s (again), or withdraw the load', control.month_to_book_in(u.period)) AS fix
FROM control.unprocessed_load u JOIN source.load l USING (load_id)
UNION ALL
SELECT control.month_to_book_in(l.period), 'REFUSED_ROWS', 'load ' || r.load_id, format('%s of %s, %s refused rows are open', l.file_name, l.period, r.n),
       'deliver the corrections, withdraw the load, or acknowledge them with a reason'
FROM (SELECT load_id, count(*) AS n FROM source.rejected_row WHERE status = 'OPEN' GROUP BY load_id) AS r JOIN source.load l USING (load_id)
UNION ALL
SELECT b.period, 'OPEN_BATCH', b.batch_id, concat_ws(': ', b.state, b.failure_reason),
       format('run ledger-assets close %s again: it is staged anew', b.period)
FROM control.batch b
WHERE b.kind <> 'DRYRUN' AND b.state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK')
UNION ALL
SELECT b.period, 'OPEN_EXCEPTIONS', e.batch_id, format('%s transactions: %s', e.n, e.reason),
       'mend the rules or withdraw the load, and close the month again'
FROM (SELECT batch_id, reason, count(*) AS n FROM control.exception_queue WHERE status = 'OPEN' GROUP BY batch_id, reason) AS e
JOIN control.batch b USING (batch_id)
WHERE b.kind <> 'DRYRUN' AND b.state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK');
COMMENT ON VIEW control.closing_obstacle IS 'Why a month cannot be closed yet: one row for each load, batch or reason that is not done with.';

CREATE OR REPLACE FUNCTION control.preflight_failures(the_period text, first_period text)
RETURNS TABLE (rule text, problem text, fix text) LANGUAGE sql STABLE AS $$
    SELECT 'first_period', format('%s lies before the first period of these books, %s', the_period, first_period),
           format('close a period from %s on, or set LEDGER_FIRST_PERIOD before the first close', first_period)
    WHERE the_period COLLATE "C" < first_period
  UNION ALL
    -- Else who names a later first period closes a month without the one before it.
    SELECT 'first_period', format('%s is not the first period of these books: %s has a posted batch', first_period, min(b.period)),
           format('set LEDGER_FIRST_PERIOD to %s, the first period of these books', min(b.period))
    FROM control.batch b
    WHERE b.period < first_period COLLATE "C" AND b.state = 'COMMITTED'
    HAVING count(*) > 0
  UNION ALL
    SELECT 'predecessor_closed', format('%s waits for %s, which is not closed', the_period, control.previous_period(the_period)),
           format('run ledger-assets close %s first', control.previous_period(the_period))
    WHERE the_period COLLATE "C" > first_period AND NOT control.is_closed(control.previous_period(the_period))
  UNION ALL
    SELECT 'month_not_locked', format('%s cannot take more entries: it is locked', the_period),
           format('its late transactions are booked in %s when that is closed; or run ledger-assets reopen %s',
                  control.month_to_book_in(the_period), the_period)
    FROM control.period p
    WHERE p.period = the_period AND p.status = 'LOCKED'
  UNION ALL
    SELECT 'later_period_closed', format('%s cannot take more entries: %s is closed on its balances', the_period, min(p.period)),
           format('its late transactions are booked in %s when that is closed; or run ledger-assets reopen %s --chain',
                  control.month_to_book_in(the_period), the_period)
    FROM control.period p
    WHERE p.period > the_period COLLATE "C" AND p.status IN ('CLOSED', 'LOCKED')
    HAVING count(*) > 0
  UNION ALL
    -- The check on txn_source says so too, but it protects only the run that it is in.
    SELECT 'rejected_rows_resolved', format('%s waits: %s refused source rows are open%s', the_period, count(*),
                                            ' (of ' || nullif(string_agg(DISTINCT l.period, ', '), the_period) || ')'),
           'deliver the corrections, withdraw the load, or acknowledge them with a reason'
    FROM source.rejected_row r
    JOIN source.load l USING (load_id)
    WHERE l.period IN (SELECT control.months_booked_in(the_period)) AND r.status = 'OPEN'
    HAVING count(*) > 0
  UNION ALL
    -- A late load may be planned by the batch of its own month and by that of a later one.
    SELECT 'loads_posted_once', format('%s was planned before load %s was posted in %s', b.batch_id, x.load_id, p.batch_id),
           format('stage %s again', the_period)
    FROM control.batch b
    JOIN control.batch_load x USING (batch_id)
    JOIN control.load_batch p USING (load_id)
    WHERE b.period = the_period AND b.kind <> 'DRYRUN' AND b.state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK')
$$;

-- ---------------------------------------------------------------------------------------------------- open a batch

-- Returns NULL when the period has a posted batch and nothing new to journal. Otherwise the id of a batch in state
-- PROCESSING with its workers planned; an open batch of the period is replaced (same id, next attempt, nothing left of
-- its staged rows). A period without any transaction gets an empty batch, so that its close is on record.
CREATE OR REPLACE FUNCTION control.open_batch(the_period text, the_kind text, the_rule_set text, the_rule_version integer,
                                              rows_per_worker integer, first_period text, performed_by text, the_run_id text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    failure   record;
    month     control.period;
    the_batch text;
    posted    integer;
    replaced  text;
BEGIN
    PERFORM control.require_read_committed();
    IF (the_kind IN ('MONTHEND', 'DRYRUN')) IS NOT TRUE THEN
        RAISE EXCEPTION '%: a close opens no batch of kind %', the_period, the_kind
            USING ERRCODE = 'LA002', HINT = 'a REVERSAL or YEAREND is opened by batch_admin: ledger-assets reverse, year-end';
    END IF;
    INSERT INTO control.period (period) VALUES (the_period) ON CONFLICT DO NOTHING;
    SELECT * INTO month FROM control.period WHERE period = the_period FOR UPDATE;
    SELECT count(*) FILTER (WHERE state IN ('COMMITTED', 'ROLLED_BACK', 'ABORTED')),
           max(batch_id) FILTER (WHERE state NOT IN ('COMMITTED', 'ROLLED_BACK', 'ABORTED'))
    INTO posted, replaced FROM control.batch WHERE period = the_period AND kind = the_kind;
    IF the_kind = 'MONTHEND'
       AND EXISTS (SELECT FROM control.batch WHERE period = the_period AND kind = 'MONTHEND' AND state = 'COMMITTED')
       AND NOT EXISTS (SELECT FROM control.loads_to_journal(the_period)) THEN
        IF replaced IS NOT NULL THEN
            PERFORM control.drop_staged_leaves(replaced);
            PERFORM control.set_batch_state(replaced, 'ABORTED', performed_by, '{"reason": "its loads were withdrawn or posted elsewhere"}');
        END IF;
        IF month.status = 'OPEN' THEN  -- reopened: its balances are to be taken again all the same
            PERFORM control.set_period_status(the_period, 'CLOSING', 'CLOSING_PERIOD', performed_by);
        END IF;
        RETURN NULL;
    END IF;
    FOR failure IN SELECT * FROM control.preflight_failures(the_period, first_period) WHERE rule <> 'loads_posted_once' LOOP
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
            first_je_number = month.next_je_number, last_je_number = NULL, entry_count = NULL, line_count = NULL, source_checksum = 0,
            failure_reason = NULL, started_by = performed_by, run_id = the_run_id, initiated_at = clock_timestamp(),
            preflight_at = NULL, processing_at = NULL, validating_at = NULL, validated_at = NULL, failed_at = NULL
        WHERE batch_id = the_batch;
    ELSE
        INSERT INTO control.batch (batch_id, period, kind, state, rule_set, rule_version, first_je_number, started_by, run_id)
        VALUES (the_batch, the_period, the_kind, 'INITIATED', the_rule_set, the_rule_version, month.next_je_number, performed_by, the_run_id);
        INSERT INTO audit.batch_operation (batch_id, period, operation, performed_by, state_after, outcome)
        VALUES (the_batch, the_period, 'INITIATE', performed_by, 'INITIATED', 'SUCCESS');
    END IF;
    -- A closed month stays closed until a further batch is posted: until then its balances are those of the ledger.
    IF the_kind = 'MONTHEND' AND month.status = 'OPEN' THEN
        PERFORM control.set_period_status(the_period, 'CLOSING', 'CLOSING_PERIOD', performed_by, the_batch);
    END IF;
    PERFORM control.set_batch_state(the_batch, 'PREFLIGHT', performed_by);
    PERFORM control.plan_workers(the_batch, the_period, rows_per_worker);
    PERFORM control.set_batch_state(the_batch, 'PROCESSING', performed_by);
    RETURN the_batch;
END $$;

-- Lays the unprocessed loads end to end, by position in their files, and cuts the row every rows_per_worker positions.
CREATE OR REPLACE FUNCTION control.plan_workers(the_batch text, the_period text, rows_per_worker integer)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    -- Decided once: a load that is committed between two of the statements below would be in one of them only.
    planned integer[] := ARRAY(SELECT load_id FROM control.loads_to_journal(the_period) ORDER BY load_id);
BEGIN
    INSERT INTO control.batch_worker (batch_id, worker_number, records_expected)
    SELECT the_batch, worker_number, 0
    FROM (SELECT sum(row_count) AS positions FROM source.load WHERE load_id = ANY (planned)) AS loads,
         generate_series(1, ((positions + rows_per_worker - 1) / rows_per_worker)::integer) AS worker_number;

    INSERT INTO control.batch_worker_slice (batch_id, worker_number, load_id, first_row_number, last_row_number)
    SELECT the_batch, w.worker_number, l.load_id,
           greatest((w.worker_number - 1)::bigint * rows_per_worker - l.positions_before, 0) + 1,
           least(w.worker_number::bigint * rows_per_worker - l.positions_before, l.row_count)
    FROM control.batch_worker w
    JOIN (SELECT load_id, row_count, sum(row_count) OVER (ORDER BY load_id) - row_count AS positions_before
          FROM source.load WHERE load_id = ANY (planned)) AS l
      ON l.positions_before < w.worker_number::bigint * rows_per_worker
     AND l.positions_before + l.row_count > (w.worker_number - 1)::bigint * rows_per_worker
    WHERE w.batch_id = the_batch;

    UPDATE control.batch SET source_checksum = (SELECT coalesce(sum(checksum), 0) FROM source.load WHERE load_id = ANY (planned))
    WHERE batch_id = the_batch;

    INSERT INTO control.batch_source_count (batch_id, source_type, expected_count)
    SELECT the_batch, txn_type, sum(row_count) FROM source.load_total WHERE load_id = ANY (planned) GROUP BY txn_type;
END $$;

-- ---------------------------------------------------------------------------------------------------- closes, kept

CREATE TABLE ledger.period_close (
    period       control.period_key NOT NULL REFERENCES control.period,
    close_number integer     NOT NULL CHECK (close_number > 0),
    closed_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_by    text        NOT NULL,
    batches      text[]      NOT NULL,
    PRIMARY KEY (period, close_number)
);
COMMENT ON TABLE ledger.period_close IS 'Every close of a month that led to other balances than the one before, or to the same from other batches; batches = those posted until then.';

CREATE TABLE ledger.closed_balance (
    period          text          NOT NULL,
    close_number    integer       NOT NULL,
    account_code    text          NOT NULL,
    fund            text          NOT NULL,
    opening_balance numeric(38,2) NOT NULL,
    debit           numeric(38,2) NOT NULL,
    credit          numeric(38,2) NOT NULL,
    closing_balance numeric(38,2) NOT NULL GENERATED ALWAYS AS (opening_balance + debit - credit) STORED,
    PRIMARY KEY (period, close_number, account_code),
    FOREIGN KEY (period, close_number) REFERENCES ledger.period_close
);
COMMENT ON TABLE ledger.closed_balance IS 'The balances as each close took them. The last one of a closed month is ledger.account_balance_snapshot.';

CREATE TABLE ledger.period_reopening (
    reopening_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    period        control.period_key NOT NULL REFERENCES control.period,
    close_number  integer,
    reopened_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    reopened_by   text        NOT NULL,
    reopen_reason text        NOT NULL CHECK (reopen_reason <> ''),
    FOREIGN KEY (period, close_number) REFERENCES ledger.period_close
);
COMMENT ON TABLE ledger.period_reopening IS 'Who reopened a month and why; close_number = the close that stood until then.';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.period_close
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.closed_balance
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.period_reopening
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();

CREATE VIEW ledger.close_history AS
SELECT c.period, c.close_number, c.closed_at, c.closed_by, c.batches, r.reopened_at, r.reopened_by, r.reopen_reason
FROM ledger.period_close c
LEFT JOIN ledger.period_reopening r USING (period, close_number);
COMMENT ON VIEW ledger.close_history IS 'The closes of a month, each with the reopenings that ended it (a close that was reopened and led to the same balances again has several).';

CREATE VIEW ledger.close_difference AS
SELECT c.period, c.close_number, d.account_code, d.fund, d.opening_change, d.debit_change, d.credit_change,
       d.closing_before, d.closing_after, d.closing_after - d.closing_before AS closing_change
FROM ledger.period_close c
CROSS JOIN LATERAL (
    SELECT coalesce(n.account_code, o.account_code) AS account_code, coalesce(n.fund, o.fund) AS fund,
           coalesce(n.opening_balance, 0) - coalesce(o.opening_balance, 0) AS opening_change,
           coalesce(n.debit, 0) - coalesce(o.debit, 0) AS debit_change, coalesce(n.credit, 0) - coalesce(o.credit, 0) AS credit_change,
           coalesce(o.closing_balance, 0) AS closing_before, coalesce(n.closing_balance, 0) AS closing_after
    FROM (SELECT * FROM ledger.closed_balance x WHERE x.period = c.period AND x.close_number = c.close_number) AS n
    FULL JOIN (SELECT * FROM ledger.closed_balance x WHERE x.period = c.period AND x.close_number = c.close_number - 1) AS o
           USING (account_code)) AS d
WHERE c.close_number > 1 AND (d.opening_change, d.debit_change, d.credit_change) <> (0, 0, 0);
COMMENT ON VIEW ledger.close_difference IS 'What a close changed against the one before, account by account; debits positive.';

-- Keeps the balances that were just taken, unless they are those of the last close, from the same batches: a month that was
-- rolled back and posted again is another close, although every balance may be what it was, for a certificate names the batches.
-- Returns the number of a close that is new.
CREATE FUNCTION ledger.record_close(the_period text, performed_by text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    last_number integer := (SELECT max(c.close_number) FROM ledger.period_close c WHERE c.period = the_period);
    number      integer := coalesce(last_number, 0) + 1;
    posted      text[] := ARRAY(SELECT b.batch_id FROM control.batch b
                                WHERE b.period = the_period AND b.state = 'COMMITTED' ORDER BY b.committed_at, b.batch_id);
BEGIN
    IF posted = (SELECT c.batches FROM ledger.period_close c WHERE c.period = the_period AND c.close_number = last_number)
       AND NOT EXISTS (
        SELECT FROM (SELECT * FROM ledger.account_balance_snapshot s WHERE s.period = the_period) AS s
        FULL JOIN (SELECT * FROM ledger.closed_balance k WHERE k.period = the_period AND k.close_number = last_number) AS k USING (account_code)
        WHERE (s.fund, s.opening_balance, s.debit, s.credit) IS DISTINCT FROM (k.fund, k.opening_balance, k.debit, k.credit)) THEN
        RETURN NULL;
    END IF;
    INSERT INTO ledger.period_close (period, close_number, closed_by, batches)
    VALUES (the_period, number, performed_by, posted);
    INSERT INTO ledger.closed_balance (period, close_number, account_code, fund, opening_balance, debit, credit)
    SELECT s.period, number, s.account_code, s.fund, s.opening_balance, s.debit, s.credit
    FROM ledger.account_balance_snapshot s WHERE s.period = the_period;
    RETURN number;
END $$;

-- Takes the balances of the period from the control totals of its posted batches, on top of the month before, and closes
-- the period; a close that leads to other balances than the last one is kept beside it. Safe to repeat: the same rows come
-- out. Raises when the month before is not closed, and while anything of the month is not done with.
CREATE OR REPLACE FUNCTION ledger.take_snapshot(the_period text, first_period text, performed_by text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    failure  record;
    before   text;
    accounts integer;
    closes   integer;
    number   integer;
BEGIN
    PERFORM control.require_read_committed();
    INSERT INTO control.period (period) VALUES (the_period) ON CONFLICT DO NOTHING;
    SELECT status INTO before FROM control.period WHERE period = the_period FOR UPDATE;
    PERFORM FROM control.period WHERE period = control.previous_period(the_period) FOR SHARE;
    FOR failure IN SELECT * FROM control.preflight_failures(the_period, first_period)
                   WHERE rule IN ('first_period', 'predecessor_closed') LOOP
        RAISE EXCEPTION '%', failure.problem USING ERRCODE = 'LA001', HINT = failure.fix, CONSTRAINT = failure.rule;
    END LOOP;
    IF NOT EXISTS (SELECT FROM control.batch WHERE period = the_period AND state = 'COMMITTED') THEN
        RAISE EXCEPTION '% has no posted batch', the_period
            USING ERRCODE = 'LA002', HINT = format('run ledger-assets close %s', the_period);
    END IF;
    IF before = 'LOCKED' THEN
        RETURN (SELECT count(*) FROM ledger.account_balance_snapshot WHERE period = the_period);
    END IF;
    IF before <> 'CLOSED' THEN
        PERFORM control.require_nothing_left(the_period);
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
    -- The month before may have had a late batch since this month's first posting took over its fund balances.
    UPDATE ledger.fund_balance b SET opening_balance = p.closing_balance
    FROM ledger.fund_balance p
    WHERE b.period = the_period AND p.period = control.previous_period(the_period) AND p.fund = b.fund
      AND b.opening_balance <> p.closing_balance;
    closes := (SELECT count(*) FROM ledger.period_close c WHERE c.period = the_period);
    number := ledger.record_close(the_period, performed_by);
    IF before <> 'CLOSED' THEN
        PERFORM control.set_period_status(the_period, 'CLOSED', CASE closes WHEN 0 THEN 'CLOSE_PERIOD' ELSE 'RECLOSE_PERIOD' END, performed_by, NULL,
            jsonb_build_object('accounts', accounts, 'close_number', coalesce(number, closes), 'balances_changed', number = 1 OR EXISTS (
                SELECT FROM ledger.close_difference d WHERE d.period = the_period AND d.close_number = number)));
    END IF;
    RETURN accounts;
END $$;

CREATE FUNCTION control.require_nothing_left(the_period text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    shown  CONSTANT integer := 10;
    listed text;
    n      integer;
    first_fix text;
BEGIN
    SELECT count(*), string_agg(format('%s (%s)', subject, detail), '; ') FILTER (WHERE position <= shown), min(fix) FILTER (WHERE position = 1)
    INTO n, listed, first_fix
    FROM (SELECT *, row_number() OVER (ORDER BY kind DESC, subject) AS position
          FROM control.closing_obstacle o WHERE o.period = the_period) AS o;
    IF n > 0 THEN
        RAISE EXCEPTION '% cannot be closed yet: %', the_period, listed || CASE WHEN n > shown THEN format('; and %s more', n - shown) ELSE '' END
            USING ERRCODE = 'LA001', CONSTRAINT = 'nothing_left_to_journal', HINT = first_fix;
    END IF;
END $$;

-- ---------------------------------------------------------------------------------------------------- reopening

-- Opens a closed or locked month again, and on request (with_chain) the later ones that build on it, latest first. Nothing
-- of the ledger goes: the closes that stood are kept, and the next close shows what it changed. Returns the reopened months.
CREATE FUNCTION control.reopen_period(the_period text, the_reason text, with_chain boolean, performed_by text)
RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    reason CONSTANT text := btrim(coalesce(the_reason, ''));
    later  text[];
    month  text;
BEGIN
    PERFORM control.require_read_committed();
    IF reason = '' THEN
        RAISE EXCEPTION '%: it is reopened for a reason only', the_period USING ERRCODE = 'LA005', HINT = 'say why, for the auditor';
    END IF;
    PERFORM FROM control.period p WHERE p.period >= the_period ORDER BY p.period DESC FOR UPDATE;
    IF NOT control.is_closed(the_period) THEN
        RAISE EXCEPTION '%: only a closed or locked month can be reopened, it is %', the_period,
            coalesce((SELECT p.status FROM control.period p WHERE p.period = the_period), 'OPEN')
            USING ERRCODE = 'LA002', HINT = 'ledger-assets status shows the months';
    END IF;
    later := ARRAY(
        SELECT p.period FROM control.period p
        WHERE p.period > the_period
          AND (p.status IN ('CLOSED', 'LOCKED')
               OR p.status = 'CLOSING' AND EXISTS (SELECT FROM control.batch b WHERE b.period = p.period AND b.state = 'COMMITTED'))
        ORDER BY p.period DESC);
    IF later <> '{}' AND NOT with_chain THEN
        RAISE EXCEPTION '%: later months build on it (%)', the_period, (SELECT string_agg(m, ', ' ORDER BY m) FROM unnest(later) AS m)
            USING ERRCODE = 'LA004', HINT = 'reopen them with it (--chain), or leave it: late transactions are booked in the open month';
    END IF;
    FOREACH month IN ARRAY later || the_period LOOP
        INSERT INTO ledger.period_reopening (period, close_number, reopened_by, reopen_reason)
        VALUES (month, (SELECT max(c.close_number) FROM ledger.period_close c WHERE c.period = month), performed_by, reason);
        PERFORM control.set_period_status(month, 'OPEN', 'REOPEN_PERIOD', performed_by, NULL,
                                          jsonb_build_object('reason', reason, 'for', the_period));
        RETURN NEXT month;
    END LOOP;
END $$;

-- ---------------------------------------------------------------------------------------------------- existing ledgers

-- A month with balances was closed, although a late batch may have opened it since.
INSERT INTO ledger.period_close (period, close_number, closed_at, closed_by, batches)
SELECT p.period, 1, c.closed_at, coalesce(o.performed_by, 'unknown'),
       ARRAY(SELECT b.batch_id FROM control.batch b
             WHERE b.period = p.period AND b.state = 'COMMITTED' AND b.committed_at <= c.closed_at ORDER BY b.committed_at, b.batch_id)
FROM control.period p
LEFT JOIN LATERAL (SELECT x.performed_by, x.performed_at FROM audit.batch_operation x
                   WHERE x.period = p.period AND x.operation = 'CLOSE_PERIOD' ORDER BY x.operation_id DESC LIMIT 1) AS o ON true
CROSS JOIN LATERAL (SELECT coalesce(p.closed_at, o.performed_at, now()) AS closed_at) AS c
WHERE p.status = 'CLOSED' OR EXISTS (SELECT FROM ledger.account_balance_snapshot s WHERE s.period = p.period);

INSERT INTO ledger.closed_balance (period, close_number, account_code, fund, opening_balance, debit, credit)
SELECT s.period, 1, s.account_code, s.fund, s.opening_balance, s.debit, s.credit
FROM ledger.account_balance_snapshot s JOIN ledger.period_close USING (period);

UPDATE control.period p SET status = 'CLOSING'
WHERE p.status = 'OPEN' AND EXISTS (
    SELECT FROM control.batch b WHERE b.period = p.period AND b.kind = 'MONTHEND' AND b.state NOT IN ('ABORTED', 'ROLLED_BACK'));
