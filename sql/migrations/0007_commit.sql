-- The commit and the balances: what makes a batch part of the books.

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
    UPDATE control.period SET status = 'CLOSED', closed_at = coalesce(closed_at, clock_timestamp()) WHERE period = the_period;
    IF before = 'OPEN' THEN
        INSERT INTO audit.batch_operation (period, operation, performed_by, state_before, state_after, outcome, details)
        VALUES (the_period, 'CLOSE_PERIOD', performed_by, before, 'CLOSED', 'SUCCESS', jsonb_build_object('accounts', accounts));
    END IF;
    RETURN accounts;
END $$;
