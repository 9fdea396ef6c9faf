-- What the nights of trying everything at once found.

-- What keeps a month from closing, as before (0019), with one of something told as one.
CREATE OR REPLACE VIEW control.closing_obstacle AS
SELECT control.month_to_book_in(u.period) AS period, 'UNPROCESSED_LOAD' AS kind, 'load ' || u.load_id AS subject,
       format('%s of %s, %s in no posted batch', l.file_name, u.period, CASE u.accepted_count WHEN 1 THEN '1 row' ELSE u.accepted_count || ' rows' END) AS detail,
       format('run ledger-assets close %s (again), or withdraw the load', control.month_to_book_in(u.period)) AS fix
FROM control.unprocessed_load u JOIN source.load l USING (load_id)
UNION ALL
SELECT control.month_to_book_in(l.period), 'REFUSED_ROWS', 'load ' || r.load_id, format('%s of %s, %s open', l.file_name, l.period, CASE r.n WHEN 1 THEN '1 refused row is' ELSE r.n || ' refused rows are' END),
       'deliver the corrections, withdraw the load, or acknowledge them with a reason'
FROM (SELECT load_id, count(*) AS n FROM source.rejected_row WHERE status = 'OPEN' GROUP BY load_id) AS r JOIN source.load l USING (load_id)
UNION ALL
SELECT b.period, 'OPEN_BATCH', b.batch_id, concat_ws(': ', b.state, b.failure_reason),
       format('run ledger-assets close %s again: it goes on where that ended, or stages anew', b.period)
FROM control.batch b
WHERE b.kind <> 'DRYRUN' AND b.state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK')
UNION ALL
SELECT b.period, 'OPEN_EXCEPTIONS', e.batch_id, format('%s: %s', CASE e.n WHEN 1 THEN '1 transaction' ELSE e.n || ' transactions' END, e.reason),
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

-- A rehearsal that says DO NOT PROCEED has done what it is for: somebody should know before the night, and nobody has to be woken.
INSERT INTO control.incident_kind (kind, severity, ends_with, says, what_to_do) VALUES
    ('REHEARSAL_FAILED', 'WARNING', 'CLOSE', 'a rehearsal says DO NOT PROCEED', 'Nothing was posted and nothing is left of it. Put right what it lists before the month is closed, then rehearse again.');

-- The posting asks for the same once more, when something was taken back while the month was staged.
UPDATE control.incident_kind SET what_to_do = 'Nothing was posted. Do what the message says after Fix, and close again.' WHERE kind = 'PREFLIGHT_FAILED';

-- Another run has taken the batch over: that is no fault of the one that is refused, and nothing is left for it to do.
CREATE FUNCTION control.refuse_overtaken(b control.batch, the_attempt integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF b.attempt IS DISTINCT FROM the_attempt THEN
        RAISE EXCEPTION '%: another run has taken it over (attempt %, not %; it is %)', b.batch_id, b.attempt, the_attempt, b.state
            USING ERRCODE = 'LA006', HINT = format('nothing here: ledger-assets status %s shows what became of it, with --watch while it is being staged', b.period);
    END IF;
END $$;

-- As before, but for who is overtaken.
CREATE OR REPLACE FUNCTION staging.require_attempt(the_batch text, the_attempt integer) RETURNS control.batch LANGUAGE plpgsql AS $$
DECLARE
    b control.batch;
BEGIN
    -- FOR SHARE: the batch cannot be replaced, posted or aborted until this worker's transaction ends.
    SELECT * INTO b FROM control.batch WHERE batch_id = the_batch FOR SHARE;
    PERFORM control.refuse_overtaken(b, the_attempt);
    PERFORM control.refuse_aborted(b);
    IF b.state IS DISTINCT FROM 'PROCESSING' THEN
        RAISE EXCEPTION 'attempt % of batch % is no longer being staged (now %)', the_attempt, the_batch, b.state
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Another run replaced it; look at control.batch.';
    END IF;
    RETURN b;
END $$;

-- As before, likewise.
CREATE OR REPLACE FUNCTION control.pass_batch(the_batch text, the_attempt integer, performed_by text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM control.refuse_overtaken(b, the_attempt) FROM control.batch b WHERE b.batch_id = the_batch;
    PERFORM control.set_batch_state(the_batch, 'VALIDATED', performed_by);
END $$;
