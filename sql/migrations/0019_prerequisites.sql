-- What a month waits for before it is closed (A2): what other systems have to finish, and the totals that the source says it
-- sent. Nothing of it is asked for unless somebody reported, announced, or made it obligatory.

-- ---------------------------------------------------------------------------------------------------- prerequisites

CREATE TABLE control.prerequisite (
    name        text COLLATE "C" PRIMARY KEY CHECK (name ~ '^[A-Z][A-Z0-9_]{0,39}$'),
    description text    NOT NULL CHECK (btrim(description) <> ''),
    required    boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE control.prerequisite IS 'What other systems finish before a month is closed. required = no month is closed without a report that it is COMPLETE.';
INSERT INTO control.prerequisite (name, description) VALUES
    ('AP_CLOSE',    'accounts payable are closed'),
    ('AR_CLOSE',    'accounts receivable are closed'),
    ('PAYROLL',     'the month''s payroll is booked'),
    ('ADJUSTMENTS', 'the month-end adjustments are booked');

CREATE TABLE control.prerequisite_report (
    report_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    period      control.period_key NOT NULL,
    name        text COLLATE "C" NOT NULL REFERENCES control.prerequisite,
    status      text        NOT NULL CHECK (status IN ('RUNNING', 'COMPLETE', 'FAILED')),
    reference   text        CHECK (length(reference) BETWEEN 1 AND 200),
    reported_by text        NOT NULL,
    reported_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON control.prerequisite_report (period, name, report_id DESC);
COMMENT ON TABLE control.prerequisite_report IS 'What other systems said of a prerequisite of a month; the latest report counts, all are kept.';

CREATE TABLE control.source_announcement (
    announcement_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    period          control.period_key NOT NULL,
    txn_type        text COLLATE "C" NOT NULL CHECK (length(txn_type) BETWEEN 1 AND 100),
    row_count       bigint         NOT NULL CHECK (row_count >= 0),
    gross_total     numeric(38, 2) NOT NULL CHECK (gross_total >= 0),
    reference       text           CHECK (length(reference) BETWEEN 1 AND 200),
    announced_by    text           NOT NULL,
    announced_at    timestamptz    NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT no_rows_have_no_amount_and_rows_have_one CHECK ((row_count = 0) = (gross_total = 0))
);
CREATE INDEX ON control.source_announcement (period, txn_type, announcement_id DESC);
COMMENT ON TABLE control.source_announcement IS 'What the source says it sent for a month, by transaction type; the latest announcement of a type counts, all are kept.';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON control.prerequisite_report
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON control.source_announcement
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
-- ALWAYS: not to be got round by session_replication_role = replica.
ALTER TABLE control.prerequisite_report ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE control.source_announcement ENABLE ALWAYS TRIGGER append_only;

CREATE VIEW control.latest_prerequisite_report AS
SELECT DISTINCT ON (period, name) period, name, status, reference, reported_by, reported_at, report_id
FROM control.prerequisite_report
ORDER BY period, name, report_id DESC;
COMMENT ON VIEW control.latest_prerequisite_report IS 'The report of each month and prerequisite that counts.';

-- Loaded are the accepted rows of all loads of the month that stand: posted or not, in time or late. A refused row is not
-- loaded; a row that came twice is there once; those of a withdrawn load are gone.
CREATE VIEW control.announced_total AS
SELECT a.period, a.txn_type, a.row_count AS announced_rows, a.gross_total AS announced_gross, l.loaded_rows, l.loaded_gross,
       l.loaded_rows - a.row_count AS difference_rows, l.loaded_gross - a.gross_total AS difference_gross,
       (l.loaded_rows, l.loaded_gross) = (a.row_count, a.gross_total) AS agrees,
       a.reference, a.announced_by, a.announced_at, a.announcement_id
FROM (SELECT DISTINCT ON (period, txn_type) * FROM control.source_announcement ORDER BY period, txn_type, announcement_id DESC) AS a
CROSS JOIN LATERAL (
    SELECT coalesce(sum(t.row_count), 0)::bigint AS loaded_rows, coalesce(sum(t.gross_total), 0)::numeric(38, 2) AS loaded_gross
    FROM source.load x JOIN source.load_total t USING (load_id)
    WHERE x.period = a.period AND x.status = 'LOADED' AND t.txn_type = a.txn_type) AS l;
COMMENT ON VIEW control.announced_total IS 'What the source announced of each month and type, beside what is loaded: accepted rows only, none of a withdrawn load.';

-- ---------------------------------------------------------------------------------------------------- saying so

-- Reports of a month one after the other, so that the latest is the one that was committed last.
CREATE FUNCTION control.lock_prerequisites(the_period text) RETURNS void LANGUAGE sql
    RETURN pg_advisory_xact_lock(hashtext('control.prerequisite'), hashtext(the_period));

-- A mistyped year cannot be taken back, because all that was said is kept: nothing is said of a month that is still to come. It has
-- begun when it has anywhere on earth, up to fourteen hours before UTC.
CREATE FUNCTION control.require_begun(the_period text) RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF the_period COLLATE "C" > to_char(now() AT TIME ZONE 'UTC' + interval '14 hours', 'YYYY-MM') THEN
        RAISE EXCEPTION '%: this month has not begun', audit.masked(left(the_period, 7))
            USING ERRCODE = 'LA002', HINT = 'name the month that it is about, such as ' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM');
    END IF;
END $$;

-- For other systems: what became of their part of the month. Saying the same again changes nothing. Returns the report's number.
CREATE FUNCTION control.report_prerequisite(the_period text, the_name text, the_status text, the_reference text, reported_by text)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    said   CONSTANT text := nullif(btrim(the_reference), '');
    before control.latest_prerequisite_report;
    number bigint;
BEGIN
    PERFORM control.lock_prerequisites(the_period);
    PERFORM control.require_begun(the_period);
    IF NOT EXISTS (SELECT FROM control.prerequisite p WHERE p.name = the_name) THEN
        RAISE EXCEPTION '%: there is no such prerequisite', audit.masked(left(the_name, 40)) USING ERRCODE = 'LA002', HINT = format(
            'report one of %s; batch_admin adds others: ledger-assets require-prerequisite NAME --description TEXT',
            (SELECT string_agg(p.name, ', ' ORDER BY p.name) FROM control.prerequisite p));
    END IF;
    IF (the_status IN ('RUNNING', 'COMPLETE', 'FAILED')) IS NOT TRUE THEN
        RAISE EXCEPTION '%: a prerequisite is RUNNING, COMPLETE or FAILED', the_name
            USING ERRCODE = 'LA002', HINT = 'report one of these';
    END IF;
    SELECT * INTO before FROM control.latest_prerequisite_report r WHERE r.period = the_period AND r.name = the_name;
    IF (before.status, before.reference) IS NOT DISTINCT FROM (the_status, said) THEN
        RETURN before.report_id;
    END IF;
    INSERT INTO control.prerequisite_report AS r (period, name, status, reference, reported_by)
    VALUES (the_period, the_name, the_status, said, report_prerequisite.reported_by) RETURNING r.report_id INTO number;
    INSERT INTO audit.batch_operation (period, operation, performed_by, state_before, state_after, outcome, details)
    VALUES (the_period, 'REPORT_PREREQUISITE', report_prerequisite.reported_by, before.status, the_status, 'SUCCESS',
            jsonb_strip_nulls(jsonb_build_object('prerequisite', the_name, 'reference', said)));
    RETURN number;
END $$;

-- For the source system: how many rows of a type it sent for a month, and their gross amount. The totals replace those that it
-- announced before. Saying the same again changes nothing. Returns the announcement's number.
CREATE FUNCTION control.announce_source(the_period text, the_type text, rows bigint, gross numeric, the_reference text, announced_by text)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    said   CONSTANT text := nullif(btrim(the_reference), '');
    before control.announced_total;
    number bigint;
BEGIN
    PERFORM control.lock_prerequisites(the_period);
    PERFORM control.require_begun(the_period);
    -- It is shown in logs and reports: a code, and not somebody's name.
    IF (the_type ~ '^[A-Z0-9][A-Z0-9_./-]{0,39}$' OR the_type IN (SELECT code FROM acct.listed_code)) IS NOT TRUE THEN
        RAISE EXCEPTION 'announcement: a transaction type is written as a code, such as PREMIUM'
            USING ERRCODE = 'LA002', HINT = 'write it as the source''s files do';
    END IF;
    -- numeric(38, 2) would round; NaN and infinity are greater than every number.
    IF (rows >= 0 AND gross >= 0 AND gross < 1e36 AND gross = round(gross, 2) AND (rows = 0) = (gross = 0)) IS NOT TRUE THEN
        RAISE EXCEPTION 'announcement of %: % rows of % cannot be', the_type, coalesce(rows::text, 'no'), coalesce(gross::text, 'no amount')
            USING ERRCODE = 'LA002', HINT = 'give a whole number of rows and their exact gross amount with at most two decimals; '
                                            'no rows have the amount 0, and rows have one above 0';
    END IF;
    SELECT * INTO before FROM control.announced_total a WHERE a.period = the_period AND a.txn_type = the_type;
    IF (before.announced_rows, before.announced_gross, before.reference) IS NOT DISTINCT FROM (rows, gross, said) THEN
        RETURN before.announcement_id;
    END IF;
    INSERT INTO control.source_announcement AS a (period, txn_type, row_count, gross_total, reference, announced_by)
    VALUES (the_period, the_type, rows, gross, said, announce_source.announced_by) RETURNING a.announcement_id INTO number;
    INSERT INTO audit.batch_operation (period, operation, performed_by, outcome, details)
    VALUES (the_period, 'ANNOUNCE_SOURCE', announce_source.announced_by, 'SUCCESS', jsonb_strip_nulls(jsonb_build_object(
        'txn_type', the_type, 'rows', rows, 'gross', gross::numeric(38, 2)::text, 'rows_before', before.announced_rows,
        'gross_before', before.announced_gross::text, 'reference', said)));
    RETURN number;
END $$;

-- Makes a prerequisite obligatory for every close, or takes that back. With a description it may be a new one.
-- Returns whether anything has changed.
CREATE FUNCTION control.require_prerequisite(the_name text, is_required boolean, the_description text, performed_by text)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    before   control.prerequisite;
    describe CONSTANT text := nullif(btrim(the_description), '');
BEGIN
    LOCK TABLE control.prerequisite IN SHARE ROW EXCLUSIVE MODE;
    SELECT * INTO before FROM control.prerequisite p WHERE p.name = the_name;
    IF before.name IS NULL AND describe IS NULL THEN
        RAISE EXCEPTION '%: there is no such prerequisite', audit.masked(left(the_name, 40)) USING ERRCODE = 'LA002', HINT = format(
            'there are %s; to add one, describe it: ledger-assets require-prerequisite NAME --description TEXT',
            (SELECT string_agg(p.name, ', ' ORDER BY p.name) FROM control.prerequisite p));
    END IF;
    IF (the_name ~ '^[A-Z][A-Z0-9_]{0,39}$' AND is_required IS NOT NULL) IS NOT TRUE THEN
        RAISE EXCEPTION 'prerequisite: it has a name of capitals, digits and underscores'
            USING ERRCODE = 'LA002', HINT = 'write it like INVESTMENT_CLOSE';
    END IF;
    IF (before.required, before.description) IS NOT DISTINCT FROM (is_required, coalesce(describe, before.description)) THEN
        RETURN false;
    END IF;
    INSERT INTO control.prerequisite AS p (name, description, required) VALUES (the_name, coalesce(describe, before.description), is_required)
    ON CONFLICT (name) DO UPDATE SET required = excluded.required, description = excluded.description;
    INSERT INTO audit.batch_operation (operation, performed_by, outcome, details)
    VALUES ('REQUIRE_PREREQUISITE', require_prerequisite.performed_by, 'SUCCESS', jsonb_strip_nulls(jsonb_build_object(
        'prerequisite', the_name, 'required', is_required, 'required_before', before.required, 'description', describe)));
    RETURN true;
END $$;

-- ---------------------------------------------------------------------------------------------------- what a month waits for

-- Every prerequisite as it stands for a month, reported or not; `blocks` = the month cannot be closed because of it.
CREATE FUNCTION control.prerequisites_of(the_period text)
RETURNS TABLE (name text, description text, required boolean, status text, reference text, reported_by text, reported_at timestamptz,
               blocks boolean) LANGUAGE sql STABLE AS $$
    SELECT p.name, p.description, p.required, r.status, r.reference, r.reported_by, r.reported_at,
           CASE WHEN r.status IS NULL THEN p.required ELSE r.status <> 'COMPLETE' END
    FROM control.prerequisite p
    LEFT JOIN control.latest_prerequisite_report r ON r.name = p.name AND r.period = the_period
$$;

-- 1234567.80 as 1,234,567.80. Not to_char: it wants to know how many digits come.
CREATE FUNCTION control.grouped(amount numeric) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN regexp_replace(split_part(amount::text, '.', 1), '(\d)(?=(\d{3})+$)', '\1,', 'g')
           || CASE WHEN scale(amount) > 0 THEN '.' || split_part(amount::text, '.', 2) ELSE '' END;

-- What of it stands in the way of closing a month; nothing = it may go on. A closed month into which nothing more is to be booked
-- waits for nothing. Of an earlier month whose late transactions this close would book, the announced totals have to agree, too:
-- what nobody announced is not booked silently.
CREATE FUNCTION control.prerequisite_failures(the_period text)
RETURNS TABLE (rule text, problem text, fix text) LANGUAGE sql STABLE AS $$
    WITH planned AS (
        SELECT DISTINCT period FROM control.loads_to_journal(the_period)
    )
    SELECT 'prerequisites_complete',
           format('%s waits: %s', the_period, string_agg(
               CASE WHEN p.status IS NULL THEN p.name || ' is required, and was not reported'
                    ELSE format('%s is %s since %s UTC', p.name, p.status, to_char(p.reported_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')) END,
               ', ' ORDER BY p.name)),
           format('when it is done, its system, or you, report it: ledger-assets report-prerequisite %s %s', the_period, min(p.name))
    FROM control.prerequisites_of(the_period) p
    WHERE p.blocks AND (NOT control.is_closed(the_period) OR EXISTS (SELECT FROM planned))
    HAVING count(*) > 0
  UNION ALL
    SELECT 'announced_totals_arrived',
           format('%s waits: announced totals differ from what is loaded: %s', the_period, string_agg(format(
               '%s%s announced %s rows of %s, loaded %s rows of %s, difference %s rows and %s', a.txn_type,
               ' of ' || nullif(a.period, the_period), control.grouped(a.announced_rows), control.grouped(a.announced_gross),
               control.grouped(a.loaded_rows), control.grouped(a.loaded_gross), control.grouped(a.difference_rows),
               control.grouped(a.difference_gross)), '; ' ORDER BY a.period, a.txn_type)),
           format('deliver what is missing (a refused row is missing), withdraw the load that is too much, or let the source announce '
                  'its totals anew: ledger-assets announce %s --type %s', min(a.period), min(a.txn_type))
    FROM control.announced_total a
    WHERE NOT a.agrees AND a.period IN (SELECT the_period UNION SELECT period FROM planned)
      AND (NOT control.is_closed(the_period) OR EXISTS (SELECT FROM planned))
    HAVING count(*) > 0
$$;

-- ---------------------------------------------------------------------------------------------------- for every client

-- As it was, and the two rules above. open_batch and post_batch refuse what it returns, for dry runs as well; reversals
-- and year ends ask for their own rules only (control.require_place_for).
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
  UNION ALL
    SELECT rule, problem, fix FROM control.prerequisite_failures(the_period)
$$;

-- As it was, and the two rules: so a month that is posted is not closed while it waits (ledger.take_snapshot), and status says why.
-- A year end is about the balances that it closes, not about deliveries.
CREATE OR REPLACE VIEW control.closing_obstacle AS
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
       format('run ledger-assets close %s again: it goes on where that ended, or stages anew', b.period)
FROM control.batch b
WHERE b.kind <> 'DRYRUN' AND b.state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK')
UNION ALL
SELECT b.period, 'OPEN_EXCEPTIONS', e.batch_id, format('%s transactions: %s', e.n, e.reason),
       'mend the rules or withdraw the load, and close the month again'
FROM (SELECT batch_id, reason, count(*) AS n FROM control.exception_queue WHERE status = 'OPEN' GROUP BY batch_id, reason) AS e
JOIN control.batch b USING (batch_id)
WHERE b.kind <> 'DRYRUN' AND b.state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK')
UNION ALL
SELECT m.period, CASE f.rule WHEN 'prerequisites_complete' THEN 'PREREQUISITES' ELSE 'ANNOUNCED_TOTALS' END,
       CASE f.rule WHEN 'prerequisites_complete' THEN 'prerequisites' ELSE 'announced totals' END, f.problem, f.fix
FROM (SELECT period FROM control.period UNION SELECT period FROM source.load UNION SELECT period FROM control.prerequisite_report
      UNION SELECT period FROM control.source_announcement) AS m
CROSS JOIN LATERAL control.prerequisite_failures(m.period) AS f
WHERE NOT control.is_closed(m.period)
  AND NOT EXISTS (SELECT FROM control.batch b WHERE b.period = m.period AND b.kind = 'YEAREND' AND b.state = 'COMMITTED');

-- ---------------------------------------------------------------------------------------------------- can it be written

CREATE TABLE control.write_probe_row (filler text NOT NULL);
COMMENT ON TABLE control.write_probe_row IS 'Always empty: control.probe_write writes here and takes it away again.';

-- The caller times its transaction, with the commit, which waits for the disk. Nothing is left behind, whenever it is killed.
CREATE FUNCTION control.probe_write() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    INSERT INTO control.write_probe_row SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 256);
    DELETE FROM control.write_probe_row;
END $$;
