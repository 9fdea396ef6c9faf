-- Repairs.

-- A rehearsal that says DO NOT PROCEED has done what it is for: somebody should know before the night, and nobody has to be woken.
INSERT INTO control.incident_kind (kind, severity, ends_with, says, what_to_do) VALUES
    ('REHEARSAL_FAILED', 'WARNING', 'CLOSE', 'a rehearsal says DO NOT PROCEED', 'Nothing was posted and nothing is left of it. Put right what it lists before the month is closed, then rehearse again.');

-- The posting asks for the same once more, when something was taken back while the month was staged.
UPDATE control.incident_kind SET what_to_do = 'Nothing was posted. Do what the message says after Fix, and close again.' WHERE kind = 'PREFLIGHT_FAILED';

-- Another run has taken the batch over: that is no fault of the one that is refused, and nothing is left for it to do.
CREATE FUNCTION control.refuse_overtaken(b control.batch, the_attempt integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF b.attempt <> the_attempt THEN
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
