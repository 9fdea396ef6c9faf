-- Abort and rollback (A6): how a batch is given up, and how a posted one is taken out of the books again (docs/adr/0014).

ALTER TABLE control.batch
    ADD COLUMN ended_by text,
    ADD COLUMN reason text,
    ADD COLUMN reopened_month boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN control.batch.failure_reason IS 'Why the batch failed, was aborted or was rolled back.';
COMMENT ON COLUMN control.batch.ended_by IS 'Who aborted the batch or rolled it back.';
COMMENT ON COLUMN control.batch.reason IS 'Why a person asked for this batch: a reversal, a year end.';
COMMENT ON COLUMN control.batch.reopened_month IS 'The month was closed until this batch was posted: taking it out closes the month again.';

ALTER TABLE control.sequence_reservation_log
    ADD COLUMN released_at timestamptz,
    ADD COLUMN released_by text,
    ADD CONSTRAINT a_release_says_when_and_by_whom CHECK ((released_at IS NULL) = (released_by IS NULL));
COMMENT ON TABLE control.sequence_reservation_log IS 'The number range that a posted batch took, written in the posting transaction. A rollback gives the range back and stamps the row; the ranges that are not released have no gap between them.';

-- A record is changed once in a transaction: who waits for its row and finds a newer version of it locks that as well, and a second
-- change would wait for him in turn. So what an ending or a posting has to say of the batch is said with its state.
CREATE OR REPLACE FUNCTION control.set_batch_state(the_batch text, new_state text, performed_by text, details jsonb DEFAULT '{}')
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    b control.batch;
    allowed CONSTANT jsonb := '{
        "INITIATED":  ["PREFLIGHT", "FAILED", "ABORTED"],
        "PREFLIGHT":  ["PROCESSING", "FAILED", "ABORTED"],
        "PROCESSING": ["VALIDATING", "FAILED", "ABORTED"],
        "VALIDATING": ["VALIDATED", "COMMITTED", "FAILED", "ABORTED"],
        "VALIDATED":  ["VALIDATED", "COMMITTED", "FAILED", "ABORTED"],
        "FAILED":     ["VALIDATED", "FAILED", "ABORTED"],
        "COMMITTED":  ["ROLLED_BACK"],
        "ABORTED":    [], "ROLLED_BACK": []}';
BEGIN
    SELECT * INTO STRICT b FROM control.batch WHERE batch_id = the_batch FOR UPDATE;
    IF NOT allowed -> b.state ? new_state THEN
        RAISE EXCEPTION 'batch % cannot go from % to %', the_batch, b.state, new_state
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('From %s a batch can go to: %s.', b.state, allowed -> b.state);
    END IF;
    -- A batch that failed while it was staged has no last number: posting it would leave the counter where it was.
    IF new_state = 'VALIDATED' AND b.entry_count IS NULL THEN
        RAISE EXCEPTION 'batch % was not staged to its end', the_batch
            USING ERRCODE = 'LA002', DETAIL = coalesce(b.failure_reason, ''), HINT = 'stage the period again';
    END IF;
    UPDATE control.batch SET
        state          = new_state,
        failure_reason = CASE WHEN new_state IN ('FAILED', 'ABORTED', 'ROLLED_BACK') THEN details ->> 'reason' END,
        ended_by       = CASE WHEN new_state IN ('ABORTED', 'ROLLED_BACK') THEN performed_by END,
        reopened_month = coalesce((details ->> 'reopened_month')::boolean, reopened_month),
        preflight_at   = CASE new_state WHEN 'PREFLIGHT'   THEN clock_timestamp() ELSE preflight_at END,
        processing_at  = CASE new_state WHEN 'PROCESSING'  THEN clock_timestamp() ELSE processing_at END,
        validating_at  = CASE new_state WHEN 'VALIDATING'  THEN clock_timestamp() ELSE validating_at END,
        validated_at   = CASE new_state WHEN 'VALIDATED'   THEN clock_timestamp() ELSE validated_at END,
        committed_at   = CASE new_state WHEN 'COMMITTED'   THEN clock_timestamp() ELSE committed_at END,
        failed_at      = CASE new_state WHEN 'FAILED'      THEN clock_timestamp() ELSE failed_at END,
        aborted_at     = CASE new_state WHEN 'ABORTED'     THEN clock_timestamp() ELSE aborted_at END,
        rolled_back_at = CASE new_state WHEN 'ROLLED_BACK' THEN clock_timestamp() ELSE rolled_back_at END
    WHERE batch_id = the_batch;
    INSERT INTO audit.batch_operation (batch_id, period, operation, performed_by, state_before, state_after, outcome, details)
    VALUES (the_batch, b.period, 'STATE', performed_by, b.state, new_state,
            CASE WHEN new_state = 'FAILED' THEN 'FAILED' ELSE 'SUCCESS' END, details);
END $$;

CREATE FUNCTION control.require_reason(what text, reason text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(btrim(reason, E' \t\r\n'), '') = '' THEN
        RAISE EXCEPTION '%: no reason was given', what USING ERRCODE = 'LA005', HINT = 'say why; it stays on record';
    END IF;
END $$;

CREATE FUNCTION control.require_confirmation(what text, confirmation text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF confirmation IS DISTINCT FROM what THEN
        RAISE EXCEPTION '%: it was not confirmed', what USING ERRCODE = 'LA005', HINT = format('type %s once more', what);
    END IF;
END $$;

-- ---------------------------------------------------------------------------------------------------- abort

-- Gives up an unposted batch: its staged rows go, whoever still works on it is told at his next step. Returns false when it
-- was given up before. A worker that is just writing holds the batch and is waited for.
CREATE FUNCTION control.abort_batch(the_batch text, the_reason text, performed_by text) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '60s' AS $$
DECLARE
    b control.batch;
BEGIN
    PERFORM control.require_read_committed();
    SELECT * INTO b FROM control.batch WHERE batch_id = the_batch;
    IF NOT FOUND THEN
        RAISE EXCEPTION '%: there is no such batch', the_batch USING ERRCODE = 'LA002', HINT = 'control.batch lists them';
    END IF;
    PERFORM control.require_reason(the_batch, the_reason);
    PERFORM FROM control.period WHERE period = b.period FOR UPDATE;
    SELECT * INTO b FROM control.batch WHERE batch_id = the_batch FOR UPDATE;
    IF b.state = 'ABORTED' THEN
        RETURN false;
    END IF;
    IF b.state IN ('COMMITTED', 'ROLLED_BACK') THEN
        RAISE EXCEPTION '%: it is %, there is nothing to abort', the_batch, b.state
            USING ERRCODE = 'LA002', HINT = CASE b.state WHEN 'COMMITTED' THEN 'roll it back, or reverse it'
                                                         ELSE 'its entries lie in the schema quarantine' END;
    END IF;
    PERFORM control.drop_staged_leaves(the_batch);
    PERFORM control.set_batch_state(the_batch, 'ABORTED', performed_by, jsonb_build_object('reason', the_reason));
    INSERT INTO audit.batch_operation (batch_id, period, operation, performed_by, state_before, state_after, outcome, details)
    VALUES (the_batch, b.period, 'ABORT', performed_by, b.state, 'ABORTED', 'SUCCESS',
            jsonb_build_object('reason', the_reason, 'attempt', b.attempt));
    RETURN true;
END $$;

CREATE FUNCTION control.refuse_aborted(b control.batch) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF b.state = 'ABORTED' THEN
        RAISE EXCEPTION '% was aborted by %: %', b.batch_id, coalesce(b.ended_by, 'somebody'), coalesce(b.failure_reason, 'no reason given')
            USING ERRCODE = 'LA002', HINT = 'stage the period again if it is to be posted';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION staging.require_attempt(the_batch text, the_attempt integer) RETURNS control.batch LANGUAGE plpgsql AS $$
DECLARE
    b control.batch;
BEGIN
    -- FOR SHARE: the batch cannot be replaced, posted or aborted until this worker's transaction ends.
    SELECT * INTO b FROM control.batch WHERE batch_id = the_batch FOR SHARE;
    IF b.attempt = the_attempt THEN
        PERFORM control.refuse_aborted(b);
    END IF;
    IF b.state IS DISTINCT FROM 'PROCESSING' OR b.attempt <> the_attempt THEN
        RAISE EXCEPTION 'attempt % of batch % is no longer being staged (now attempt %, %)',
            the_attempt, the_batch, b.attempt, b.state
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Another run replaced it; look at control.batch.';
    END IF;
    RETURN b;
END $$;

-- A month has one open batch at a time: its numbers start where the posted ones end. Said here in words, before the unique
-- index says it in its own.
CREATE FUNCTION control.refuse_second_open_batch() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    other control.batch;
BEGIN
    SELECT * INTO other FROM control.batch
    WHERE period = NEW.period AND kind <> 'DRYRUN' AND state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK');
    IF FOUND AND NEW.kind <> 'DRYRUN' THEN
        RAISE EXCEPTION '%: it is open (%), and a month has one open batch at a time', other.batch_id, other.state
            USING ERRCODE = 'LA002', HINT = format('post it, or give it up with ledger-assets abort %s', other.batch_id);
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER one_open_batch BEFORE INSERT ON control.batch FOR EACH ROW EXECUTE FUNCTION control.refuse_second_open_batch();

-- ---------------------------------------------------------------------------------------------------- the place of what was rolled back

CREATE TABLE quarantine.je_header (LIKE staging.je_header);
CREATE TABLE quarantine.je_line   (LIKE staging.je_line);
COMMENT ON TABLE quarantine.je_header IS 'Headers of batches that were rolled back: their leaves inherit from here. They refuse every change, as posted ones do.';

CREATE OR REPLACE FUNCTION control.guard_leaf() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    posted text;
BEGIN
    PERFORM control.require_read_committed();
    SELECT w.batch_id INTO posted FROM control.batch_worker w JOIN control.batch b USING (batch_id)
    WHERE (w.header_leaf = TG_RELID OR w.line_leaf = TG_RELID) AND b.state IN ('COMMITTED', 'ROLLED_BACK');
    IF TG_TABLE_SCHEMA = 'quarantine' THEN
        RAISE EXCEPTION '% on %.% is refused: entries that were rolled back never change', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege', HINT = 'They are kept for the auditor as they were posted.';
    END IF;
    IF posted IS NOT NULL OR TG_TABLE_SCHEMA = 'ledger' THEN
        RAISE EXCEPTION '% on %.% is refused: posted entries never change', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Correct the books by a new entry, or roll the batch back.';
    END IF;
    -- Staged rows can be changed by their owner, but never unnoticed: the control totals taken before no longer count,
    -- and the batch is not posted. A change through the parent is charged to every open batch.
    UPDATE control.batch_worker w SET content_version = content_version + 1
    FROM control.batch b
    WHERE b.batch_id = w.batch_id AND b.state NOT IN ('COMMITTED', 'ROLLED_BACK')
      AND (w.header_leaf = TG_RELID OR w.line_leaf = TG_RELID
           OR TG_RELID IN ('staging.je_header'::regclass, 'staging.je_line'::regclass));
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION control.refuse_posted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_SCHEMA IN ('ledger', 'quarantine') THEN
        RAISE EXCEPTION '% on %.% is refused: posted entries never change', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Correct the books by a new entry, or roll the batch back.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;

SELECT control.guard_table(t, false) FROM unnest(ARRAY['quarantine.je_header', 'quarantine.je_line']::regclass[]) AS t;

CREATE VIEW quarantine.rolled_back_header AS
SELECT h.period, w.batch_id, h.je_number, h.je_date, t.template_code, t.version AS template_version, t.source_type,
       h.source_id, t.description, h.total_amount * 0.01 AS total_debit, h.total_amount * 0.01 AS total_credit,
       b.committed_at AS posted_at, b.rolled_back_at, b.ended_by AS rolled_back_by, b.failure_reason AS reason
FROM quarantine.je_header h
JOIN control.batch_worker w ON w.header_leaf = h.tableoid
JOIN control.batch b USING (batch_id)
JOIN acct.journal_template t USING (template_id);

CREATE VIEW quarantine.rolled_back_line AS
SELECT l.period, w.batch_id, l.je_number, l.line_number, a.account_code, a.fund,
       greatest(l.amount, 0) * 0.01 AS debit_amount, greatest(-l.amount, 0) * 0.01 AS credit_amount,
       b.rolled_back_at, b.ended_by AS rolled_back_by, b.failure_reason AS reason
FROM quarantine.je_line l
JOIN control.batch_worker w ON w.line_leaf = l.tableoid
JOIN control.batch b USING (batch_id)
LEFT JOIN acct.chart_of_accounts a USING (account_id);

-- The way back from ledger.attach_leaf. DETACH locks the month's partition against its readers until the end of the transaction.
CREATE FUNCTION ledger.detach_leaf(root text, the_period text, leaf regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    leaf_name text;
BEGIN
    SELECT relname INTO leaf_name FROM pg_class WHERE oid = leaf;
    IF NOT FOUND THEN  -- somebody dropped it: the batch can be taken out all the same, and posted again from its source
        RETURN;
    END IF;
    EXECUTE format('ALTER TABLE ledger.%I DETACH PARTITION %s', root || '_' || control.period_suffix(the_period), leaf);
    EXECUTE format('ALTER TABLE ledger.%I SET SCHEMA quarantine', leaf_name);
    EXECUTE format('ALTER TABLE quarantine.%I INHERIT quarantine.%I', leaf_name, root);
END $$;

-- ---------------------------------------------------------------------------------------------------- balances from what remains

-- What each batch moved a fund by. A year end carries income and expense to surplus: it moves nothing that a fund owns.
CREATE VIEW ledger.fund_movement AS
SELECT b.period, t.batch_id, b.state, a.fund,
       coalesce(sum(t.credit_total - t.debit_total) FILTER (WHERE a.account_type = 'INCOME'), 0) * 0.01 AS income,
       coalesce(sum(t.debit_total - t.credit_total) FILTER (WHERE a.account_type = 'EXPENSE'), 0) * 0.01 AS expense,
       coalesce(sum(t.credit_total - t.debit_total) FILTER (WHERE a.account_type = 'EQUITY'), 0) * 0.01 AS equity_movement
FROM control.worker_measure_account t
JOIN control.batch b USING (batch_id)
JOIN acct.chart_of_accounts a USING (account_id)
WHERE b.kind <> 'YEAREND'
GROUP BY b.period, t.batch_id, b.state, a.fund;

CREATE OR REPLACE FUNCTION ledger.move_fund_balances(the_batch text, the_period text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO ledger.fund_balance (period, fund, opening_balance)
    SELECT the_period, f.fund, coalesce(p.closing_balance, 0)
    FROM (SELECT DISTINCT fund FROM acct.chart_of_accounts) AS f
    LEFT JOIN ledger.fund_balance p ON p.period = control.previous_period(the_period) AND p.fund = f.fund
    ON CONFLICT (period, fund) DO NOTHING;

    UPDATE ledger.fund_balance b
    SET income = b.income + m.income, expense = b.expense + m.expense, equity_movement = b.equity_movement + m.equity_movement
    FROM ledger.fund_movement m
    WHERE m.batch_id = the_batch AND b.period = the_period AND b.fund = m.fund;
$$;

-- Next number and balances of a month from the batches that are posted in it now; none of what was stored before is used.
CREATE FUNCTION ledger.restore_month(the_period text, to_be_closed boolean, the_reason text, performed_by text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    before    text    := (SELECT status FROM control.period WHERE period = the_period);
    is_posted boolean := EXISTS (SELECT FROM control.batch WHERE period = the_period AND state = 'COMMITTED');
    -- A month is not closed on balances of one before it that a late batch has opened.
    is_closed boolean := is_posted AND to_be_closed AND (control.is_closed(control.previous_period(the_period)) OR NOT EXISTS (
        SELECT FROM control.batch WHERE period = control.previous_period(the_period) AND state = 'COMMITTED'));
    after     text    := CASE WHEN NOT is_posted THEN 'OPEN' WHEN is_closed THEN 'CLOSED' ELSE before END;
BEGIN
    IF after <> before THEN
        INSERT INTO audit.batch_operation (period, operation, performed_by, state_before, state_after, outcome, details)
        VALUES (the_period, 'RESTORE_PERIOD', restore_month.performed_by, before, after, 'SUCCESS', jsonb_build_object('reason', the_reason));
    END IF;
    IF NOT is_posted THEN
        DELETE FROM ledger.account_balance_snapshot WHERE period = the_period;
        DELETE FROM ledger.fund_balance WHERE period = the_period;
        UPDATE control.period SET next_je_number = 1, status = 'OPEN', closed_at = NULL WHERE period = the_period;
        RETURN;
    END IF;
    -- The one change of the record: see control.set_batch_state.
    UPDATE control.period SET
        next_je_number = 1 + (SELECT coalesce(max(last_je_number), 0) FROM control.batch WHERE period = the_period AND state = 'COMMITTED'),
        status         = CASE WHEN is_closed THEN 'CLOSED' ELSE status END,
        closed_at      = CASE WHEN is_closed THEN coalesce(closed_at, clock_timestamp()) ELSE closed_at END
    WHERE period = the_period;
    UPDATE ledger.fund_balance b
    SET (income, expense, equity_movement) = (
        SELECT coalesce(sum(m.income), 0), coalesce(sum(m.expense), 0), coalesce(sum(m.equity_movement), 0)
        FROM ledger.fund_movement m WHERE m.period = the_period AND m.state = 'COMMITTED' AND m.fund = b.fund)
    WHERE b.period = the_period;
    IF NOT is_closed THEN  -- its balances, if it has any, are those of an earlier close, as they were before the batch came
        RETURN;
    END IF;
    UPDATE ledger.fund_balance b SET opening_balance = p.closing_balance
    FROM ledger.fund_balance p
    WHERE b.period = the_period AND p.period = control.previous_period(the_period) AND p.fund = b.fund
      AND b.opening_balance <> p.closing_balance;
    DELETE FROM ledger.account_balance_snapshot WHERE period = the_period;
    INSERT INTO ledger.account_balance_snapshot (period, account_code, fund, opening_balance, debit, credit)
    SELECT the_period, a.account_code, a.fund, coalesce(o.closing_balance, 0), coalesce(m.debit, 0) * 0.01, coalesce(m.credit, 0) * 0.01
    FROM acct.chart_of_accounts a
    LEFT JOIN ledger.account_balance_snapshot o
           ON o.period = control.previous_period(the_period) AND o.account_code = a.account_code
    LEFT JOIN (SELECT t.account_id, sum(t.debit_total) AS debit, sum(t.credit_total) AS credit
               FROM control.worker_measure_account t JOIN control.batch b USING (batch_id)
               WHERE b.period = the_period AND b.state = 'COMMITTED' GROUP BY t.account_id) AS m USING (account_id)
    WHERE m.account_id IS NOT NULL OR o.account_code IS NOT NULL;
    PERFORM ledger.record_close(the_period, performed_by);
END $$;

-- What has to hold of a month after entries were taken out of it, by routes of its own: the rows themselves, the catalog,
-- the snapshot against the fund balances.
CREATE FUNCTION ledger.broken_after_rollback(the_period text) RETURNS TABLE (rule text, problem text) LANGUAGE plpgsql AS $$
DECLARE
    headers record;
    posted  record;
    next_number integer;
BEGIN
    -- EXECUTE: a plan made before the leaves went would look for them.
    EXECUTE 'SELECT count(*) AS n, min(je_number) AS first, max(je_number) AS last FROM ledger.je_header WHERE period = $1'
        INTO headers USING the_period;
    SELECT coalesce(sum(entry_count), 0) AS n INTO posted FROM control.batch WHERE period = the_period AND state = 'COMMITTED';
    SELECT next_je_number INTO next_number FROM control.period WHERE period = the_period;
    IF (headers.n, coalesce(headers.first, 1), coalesce(headers.last, 0)) IS DISTINCT FROM (posted.n::bigint, 1, next_number - 1)
       OR headers.n <> next_number - 1 THEN
        RETURN QUERY SELECT 'numbers_continue', format('%s entries with numbers %s to %s, the posted batches say %s, the next number is %s',
                                                       headers.n, headers.first, headers.last, posted.n, next_number);
    END IF;
    RETURN QUERY
        SELECT 'leaves_are_those_of_posted_batches', format('%s is %s', leaf, CASE WHEN attached THEN 'attached, and no posted batch wrote it' ELSE 'not attached' END)
        FROM (SELECT i.inhrelid::regclass AS leaf, true AS attached FROM pg_inherits i
              WHERE i.inhparent IN (to_regclass('ledger.je_header_' || control.period_suffix(the_period)),
                                    to_regclass('ledger.je_line_' || control.period_suffix(the_period)))) AS a
        FULL JOIN (SELECT unnest(ARRAY[w.header_leaf, w.line_leaf]) AS leaf, true AS belongs
                   FROM control.batch_worker w JOIN control.batch b USING (batch_id)
                   WHERE b.period = the_period AND b.state = 'COMMITTED' AND w.line_leaf IS NOT NULL) AS b USING (leaf)
        WHERE attached IS DISTINCT FROM belongs;
    RETURN QUERY
        SELECT 'debits_equal_credits', format('%s: debits %s, credits %s', a.fund, sum(t.debit_total) * 0.01, sum(t.credit_total) * 0.01)
        FROM control.worker_measure_account t
        JOIN control.batch b USING (batch_id)
        JOIN acct.chart_of_accounts a USING (account_id)
        WHERE b.period = the_period AND b.state = 'COMMITTED'
        GROUP BY a.fund HAVING sum(t.debit_total) <> sum(t.credit_total);
    RETURN QUERY
        SELECT 'fund_balances_agree', format('%s: its assets less liabilities are %s, its balance %s', f.fund, n.net, f.closing_balance)
        FROM ledger.fund_balance f
        JOIN control.period p ON p.period = f.period AND p.status = 'CLOSED'
        CROSS JOIN LATERAL (SELECT coalesce(sum(s.closing_balance), 0) AS net
                            FROM ledger.account_balance_snapshot s JOIN acct.chart_of_accounts a USING (account_code)
                            WHERE s.period = f.period AND s.fund = f.fund AND a.account_type IN ('ASSET', 'LIABILITY')) AS n
        WHERE f.period = the_period AND n.net <> f.closing_balance;
END $$;

-- ---------------------------------------------------------------------------------------------------- rollback

-- The posted batches whose numbers or balances stand on this one: those posted after it in its month, and all of later months.
-- Newest first, which is the order in which they can be taken out.
CREATE FUNCTION ledger.built_on(the_batch text) RETURNS TABLE (batch_id text, period text) LANGUAGE sql STABLE AS $$
    SELECT l.batch_id, l.period::text
    FROM control.batch b
    JOIN control.batch l ON l.state = 'COMMITTED' AND l.batch_id <> b.batch_id
     AND (l.period, l.first_je_number, l.entry_count > 0, l.committed_at) > (b.period, b.first_je_number, b.entry_count > 0, b.committed_at)
    WHERE b.batch_id = the_batch
    -- An empty batch takes no number: it came before the one that starts at the same.
    ORDER BY l.period DESC, l.first_je_number DESC, (l.entry_count > 0) DESC, l.committed_at DESC
$$;

CREATE FUNCTION ledger.fund_closings(the_period text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_object_agg(fund, closing_balance::text), '{}') FROM ledger.fund_balance WHERE period = the_period
$$;

-- The entries of one batch, of which the caller has made sure that nothing stands on it and that nobody else moves. What remains of
-- the month is put in order afterwards. Not for anybody to call.
CREATE FUNCTION ledger.take_out_batch(the_batch text, the_reason text, performed_by text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    b         control.batch;
    w         record;
    loads     integer[];
BEGIN
    SELECT * INTO STRICT b FROM control.batch WHERE batch_id = the_batch FOR UPDATE;
    FOR w IN SELECT header_leaf, line_leaf FROM control.batch_worker
             WHERE batch_id = the_batch AND line_leaf IS NOT NULL ORDER BY worker_number LOOP
        PERFORM ledger.detach_leaf('je_header', b.period, w.header_leaf);
        PERFORM ledger.detach_leaf('je_line', b.period, w.line_leaf);
    END LOOP;
    WITH freed AS (DELETE FROM control.load_batch p WHERE p.batch_id = the_batch RETURNING p.load_id)
    SELECT coalesce(array_agg(load_id ORDER BY load_id), '{}') INTO loads FROM freed;
    UPDATE control.sequence_reservation_log SET released_at = clock_timestamp(), released_by = performed_by
    WHERE batch_id = the_batch;
    PERFORM control.set_batch_state(the_batch, 'ROLLED_BACK', performed_by, jsonb_build_object('reason', the_reason));
    RETURN jsonb_build_object(
        'batch_id', the_batch, 'period', b.period, 'entries', coalesce(b.entry_count, 0),
        'numbers', CASE WHEN b.entry_count > 0 THEN jsonb_build_array(b.first_je_number, b.last_je_number) END,
        'loads', to_jsonb(loads), 'fund_balances_before', ledger.fund_closings(b.period),
        'month_before', (SELECT status FROM control.period WHERE period = b.period));
END $$;

-- Takes a posted batch out of the books again, in the caller's transaction: all of it happens or nothing does. Returns what
-- changed, a list with one object per batch: numbers given back, loads to be posted again, balances of the funds.
-- The lock that DETACH needs makes readers of the month wait behind it, so it is not waited for long.
CREATE FUNCTION ledger.roll_back_chain(the_batch text, the_reason text, confirmation text, performed_by text, with_chain boolean DEFAULT true)
RETURNS jsonb LANGUAGE plpgsql SET lock_timeout = '10s' AS $$
DECLARE
    b       control.batch;
    locked  text;
    chain   text[];
    member  text;
    month   record;
    broken  record;
    effect  jsonb;
    effects jsonb[] := '{}';
    done    jsonb := '[]';
BEGIN
    PERFORM control.require_read_committed();
    SELECT * INTO b FROM control.batch WHERE batch_id = the_batch;
    IF NOT FOUND THEN
        RAISE EXCEPTION '%: there is no such batch', the_batch USING ERRCODE = 'LA002', HINT = 'control.batch lists them';
    END IF;
    PERFORM control.require_reason(the_batch, the_reason);
    PERFORM control.require_confirmation(the_batch, confirmation);
    -- Newest first, as a posting locks its month before it locks the one before. Nothing can be posted on this batch from here on.
    PERFORM FROM control.period p WHERE p.period >= b.period ORDER BY p.period DESC FOR UPDATE;
    PERFORM FROM control.period p WHERE p.period = control.previous_period(b.period) FOR SHARE;
    SELECT * INTO b FROM control.batch WHERE batch_id = the_batch FOR UPDATE;
    IF b.state <> 'COMMITTED' THEN
        RAISE EXCEPTION '%: it is %, only a posted batch can be rolled back', the_batch, b.state
            USING ERRCODE = 'LA002',
                  HINT = CASE WHEN b.state IN ('ROLLED_BACK', 'ABORTED') THEN 'there is nothing to do'
                              ELSE format('give it up with ledger-assets abort %s', the_batch) END;
    END IF;
    chain := ARRAY(SELECT o.batch_id FROM ledger.built_on(the_batch) WITH ORDINALITY AS o (batch_id, period, place) ORDER BY place);
    SELECT string_agg(p.period, ', ' ORDER BY p.period) INTO locked FROM control.period p
    WHERE p.status = 'LOCKED' AND p.period IN (SELECT x.period FROM control.batch x WHERE x.batch_id = ANY (chain || the_batch));
    IF locked IS NOT NULL THEN
        RAISE EXCEPTION '%: % is locked and published', the_batch, locked
            USING ERRCODE = 'LA002', HINT = format('reverse it into an open month: ledger-assets reverse %s --into PERIOD', the_batch);
    END IF;
    IF cardinality(chain) > 0 AND NOT with_chain THEN
        RAISE EXCEPTION '%: later postings build on it (%)', the_batch, array_to_string(chain, ', ')
            USING ERRCODE = 'LA004',
                  HINT = format('reverse it into an open month, or take all out with --chain, which rolls back, in this order: %s',
                                array_to_string(chain || the_batch, ', '));
    END IF;
    FOREACH member IN ARRAY chain || the_batch LOOP
        effects := effects || ledger.take_out_batch(member, the_reason, performed_by);
    END LOOP;
    -- Oldest first: a month's balances begin with those of the month before.
    -- Whoever reopened it by hand after a late batch wants it open.
    FOR month IN SELECT x.period, bool_or(p.status = 'CLOSED' OR x.reopened_month AND NOT EXISTS (
                            SELECT FROM ledger.period_reopening r WHERE r.period = x.period AND r.reopened_at > x.committed_at)) AS to_be_closed
                 FROM control.batch x JOIN control.period p USING (period)
                 WHERE x.batch_id = ANY (chain || the_batch) GROUP BY x.period ORDER BY x.period LOOP
        PERFORM ledger.restore_month(month.period, month.to_be_closed, the_reason, performed_by);
        FOR broken IN SELECT * FROM ledger.broken_after_rollback(month.period) LOOP
            RAISE EXCEPTION '%: without it % would not be in order (%): %', the_batch, month.period, broken.rule, broken.problem
                USING ERRCODE = 'LA003', CONSTRAINT = broken.rule, HINT = 'nothing was taken out; have the ledger verified';
        END LOOP;
    END LOOP;
    FOREACH effect IN ARRAY effects LOOP
        effect := effect || jsonb_build_object(
            'fund_balances_after', ledger.fund_closings(effect ->> 'period'),
            'month_after', (SELECT p.status FROM control.period p WHERE p.period = effect ->> 'period'));
        PERFORM ledger.append_to_chain('ROLLED_BACK', effect ->> 'batch_id');
        INSERT INTO audit.batch_operation (batch_id, period, operation, performed_by, state_before, state_after, outcome, details)
        VALUES (effect ->> 'batch_id', effect ->> 'period', 'ROLLBACK', performed_by, 'COMMITTED', 'ROLLED_BACK', 'SUCCESS',
                effect || jsonb_build_object('reason', the_reason, 'chain_of', CASE WHEN cardinality(chain) > 0 THEN the_batch END));
        done := done || effect;
    END LOOP;
    RETURN done;
END $$;

CREATE FUNCTION ledger.roll_back_batch(the_batch text, the_reason text, confirmation text, performed_by text) RETURNS jsonb
LANGUAGE sql RETURN ledger.roll_back_chain(the_batch, the_reason, confirmation, performed_by, false);
