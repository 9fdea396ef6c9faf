-- Batches that are derived from the books, not from deliveries: a reversal answers a posted batch with debits and credits
-- swapped, a year end carries income and expense to the surplus of each fund (A6, E4). Same staging, same gates, same posting;
-- what the gates expect comes from the ledger.

-- ---------------------------------------------------------------------------------------------------- what the gates expect

-- The rows of the origin, added up again when the gates run: once per batch, posted rows do not change.
CREATE TABLE control.origin_measure (
    batch_id         text        PRIMARY KEY REFERENCES control.batch ON DELETE CASCADE,
    entry_count      bigint      NOT NULL,
    line_count       bigint      NOT NULL,
    unequal_accounts bigint      NOT NULL,
    measured_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN control.origin_measure.unequal_accounts IS 'Accounts on which the origin''s rows add up to something else than when they were posted (reversal), or whose closing balance is not the sum of all posted batches (year end).';

CREATE FUNCTION control.measure_origin(the_batch text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    b control.batch;
    o control.batch;
BEGIN
    SELECT * INTO STRICT b FROM control.batch WHERE batch_id = the_batch FOR SHARE;
    IF b.kind NOT IN ('REVERSAL', 'YEAREND') OR EXISTS (SELECT FROM control.origin_measure m WHERE m.batch_id = the_batch) THEN
        RETURN;
    END IF;
    IF b.kind = 'YEAREND' THEN
        INSERT INTO control.origin_measure (batch_id, entry_count, line_count, unequal_accounts)
        SELECT the_batch, 0, 0, count(*)
        FROM (SELECT a.account_id, s.closing_balance * 100 AS closing FROM ledger.account_balance_snapshot s
              JOIN acct.chart_of_accounts a USING (account_code) WHERE s.period = b.period) AS taken
        FULL JOIN (SELECT t.account_id, sum(t.debit_total - t.credit_total) AS closing
                   FROM control.worker_measure_account t JOIN control.batch x USING (batch_id)
                   WHERE x.state = 'COMMITTED' AND x.period <= b.period GROUP BY t.account_id) AS added USING (account_id)
        WHERE coalesce(taken.closing, 0) <> coalesce(added.closing, 0);
        RETURN;
    END IF;
    SELECT * INTO STRICT o FROM control.batch WHERE batch_id = b.reverses_batch_id;
    EXECUTE $q$
        INSERT INTO control.origin_measure (batch_id, entry_count, line_count, unequal_accounts)
        SELECT $1, (SELECT count(*) FROM ledger.je_header WHERE period = $2 AND je_number BETWEEN $3 AND $4),
               coalesce(sum(now.lines), 0),
               count(*) FILTER (WHERE (now.lines, now.debit, now.credit) IS DISTINCT FROM (posted.lines, posted.debit, posted.credit))
        FROM (SELECT account_id, count(*)::numeric AS lines, coalesce(sum(amount) FILTER (WHERE amount > 0), 0) AS debit,
                     coalesce(-sum(amount) FILTER (WHERE amount < 0), 0) AS credit
              FROM ledger.je_line WHERE period = $2 AND je_number BETWEEN $3 AND $4 GROUP BY account_id) AS now
        FULL JOIN (SELECT account_id, sum(line_count) AS lines, sum(debit_total) AS debit, sum(credit_total) AS credit
                   FROM control.worker_measure_account WHERE batch_id = $5 GROUP BY account_id) AS posted USING (account_id) $q$
    USING the_batch, o.period::text, o.first_je_number, o.last_je_number, o.batch_id;
END $$;

-- What each account has to be booked with, in minor units. A reversal: the original's totals, swapped. A year end: the closing
-- balances of income and expense, taken off, and what that leaves in each fund on its equity account.
CREATE FUNCTION control.expected_accounts(the_batch text) RETURNS TABLE (account_id smallint, debit numeric, credit numeric) LANGUAGE sql STABLE AS $$
    WITH b AS (SELECT * FROM control.batch WHERE batch_id = the_batch),
    closing AS (SELECT a.account_id, a.fund, s.closing_balance * 100 AS balance
                FROM b JOIN ledger.account_balance_snapshot s ON s.period = b.period AND b.kind = 'YEAREND'
                JOIN acct.chart_of_accounts a USING (account_code)
                WHERE a.account_type IN ('INCOME', 'EXPENSE') AND s.closing_balance <> 0),
    moved AS (SELECT account_id, -balance AS amount FROM closing
            UNION ALL
              SELECT e.account_id, sum(c.balance) FROM closing c JOIN acct.chart_of_accounts e ON e.fund = c.fund AND e.account_type = 'EQUITY' AND e.is_open
              GROUP BY e.account_id HAVING sum(c.balance) <> 0)
    SELECT m.account_id, sum(m.credit_total), sum(m.debit_total)
    FROM b JOIN control.worker_measure_account m ON m.batch_id = b.reverses_batch_id GROUP BY m.account_id
  UNION ALL
    SELECT account_id, greatest(amount, 0), greatest(-amount, 0) FROM moved
$$;

CREATE FUNCTION control.origin_totals(the_batch text)
RETURNS TABLE (name text, stands boolean, expected_entries bigint, posted_entries bigint, posted_lines bigint,
               entries bigint, lines bigint, unequal_accounts bigint) LANGUAGE sql STABLE AS $$
    SELECT 'batch ' || o.batch_id, o.state = 'COMMITTED', o.entry_count, o.entry_count, o.line_count,
           m.entry_count, m.line_count, m.unequal_accounts
    FROM control.batch b
    JOIN control.batch o ON o.batch_id = b.reverses_batch_id
    LEFT JOIN control.origin_measure m ON m.batch_id = b.batch_id
    WHERE b.batch_id = the_batch
  UNION ALL
    SELECT 'balances of ' || b.period, p.status = 'CLOSED', f.n, 0, 0, m.entry_count, m.line_count, m.unequal_accounts
    FROM control.batch b
    JOIN control.period p USING (period)
    LEFT JOIN control.origin_measure m ON m.batch_id = b.batch_id,
    LATERAL (SELECT count(DISTINCT s.fund) AS n FROM ledger.account_balance_snapshot s JOIN acct.chart_of_accounts a USING (account_code)
             WHERE s.period = b.period AND a.account_type IN ('INCOME', 'EXPENSE') AND s.closing_balance <> 0) AS f
    WHERE b.batch_id = the_batch AND b.kind = 'YEAREND'
$$;

-- The gates' conditions, as before; a derived batch has its origin in place of loads.
CREATE OR REPLACE FUNCTION control.failed_conditions(the_batch text)
RETURNS TABLE (gate text, condition text) LANGUAGE sql STABLE AS $$
    WITH b AS (SELECT *, kind IN ('REVERSAL', 'YEAREND') AS is_derived FROM control.batch WHERE batch_id = the_batch),
    origin AS (SELECT o.* FROM b, control.origin_totals(the_batch) o WHERE b.is_derived),
    loads AS (SELECT load_id FROM control.batch_load WHERE batch_id = the_batch),
    source_counts AS (SELECT t.txn_type, sum(t.row_count) AS n, sum(tabarru_total) AS tabarru, sum(tanahud_total) AS tanahud,
                             sum(ujroh_total) AS ujroh
                      FROM loads JOIN control.load_measure_total t USING (load_id) GROUP BY t.txn_type),
    staged_counts AS (SELECT source_type, sum(transaction_count) AS n
                      FROM b JOIN control.worker_measure_source USING (batch_id) WHERE NOT b.is_derived GROUP BY source_type),
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
                   FROM b, accounts x JOIN acct.chart_of_accounts a USING (account_id)
                   WHERE NOT b.is_derived AND a.recognised_type IS NOT NULL GROUP BY 1, 2)
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
    SELECT 'record_count', format('worker %s: %s statements changed its entries after it wrote them', worker_number, content_version)
    FROM control.batch_worker WHERE batch_id = the_batch AND content_version > 0
  UNION ALL
    SELECT 'record_count', format('%s: %s entries expected, %s staged', o.name, o.expected_entries, s.n)
    FROM origin o, (SELECT coalesce(sum(entry_count), 0) AS n FROM control.worker_measure WHERE batch_id = the_batch) AS s
    WHERE o.expected_entries IS DISTINCT FROM s.n
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
    -- The funds of accounts as the chart has them now, which may be others than when the entries were measured.
    SELECT 'debit_credit_balance', format('fund %s: debits %s, credits %s', coalesce(a.fund, '(unknown)'), sum(x.debit) * 0.01, sum(x.credit) * 0.01)
    FROM accounts x LEFT JOIN acct.chart_of_accounts a USING (account_id)
    GROUP BY a.fund HAVING sum(x.debit) <> sum(x.credit)
  UNION ALL
    SELECT 'fund_reconciliation', format('%s %s: %s in the source, %s in the fund''s lines',
                                         coalesce(c.txn_type, r.recognised_type), coalesce(c.component, r.recognised_component),
                                         coalesce(c.amount, 0), coalesce(r.amount, 0))
    FROM components c FULL JOIN recognised r ON r.recognised_type = c.txn_type AND r.recognised_component = c.component
    WHERE coalesce(c.amount, 0) <> coalesce(r.amount, 0)
  UNION ALL
    SELECT 'fund_reconciliation', format('%s: debit %s and credit %s expected, %s and %s staged',
                                         coalesce(a.account_code, 'account_id ' || account_id), coalesce(e.debit, 0) * 0.01,
                                         coalesce(e.credit, 0) * 0.01, coalesce(x.debit, 0) * 0.01, coalesce(x.credit, 0) * 0.01)
    FROM (SELECT e.* FROM b, control.expected_accounts(the_batch) e WHERE b.is_derived) AS e
    FULL JOIN (SELECT x.* FROM b, accounts x WHERE b.is_derived) AS x USING (account_id)
    LEFT JOIN acct.chart_of_accounts a USING (account_id)
    WHERE (coalesce(e.debit, 0), coalesce(e.credit, 0)) IS DISTINCT FROM (coalesce(x.debit, 0), coalesce(x.credit, 0))
  UNION ALL
    SELECT 'fund_reconciliation', format('%s moves by %s, its mirror %s by %s', a.account_code, (x.debit - x.credit) * 0.01,
                                         a.mirror_account_code, coalesce(y.debit - y.credit, 0) * 0.01)
    FROM accounts x
    JOIN acct.chart_of_accounts a ON a.account_id = x.account_id AND a.mirror_account_code IS NOT NULL
    LEFT JOIN acct.chart_of_accounts m ON m.account_code = a.mirror_account_code
    LEFT JOIN accounts y ON y.account_id = m.account_id
    WHERE x.debit - x.credit <> coalesce(y.credit - y.debit, 0)
  UNION ALL
    SELECT 'fund_reconciliation', format('account_id %s is %s', x.account_id, CASE WHEN a.account_id IS NULL THEN 'unknown' ELSE 'closed' END)
    FROM accounts x LEFT JOIN acct.chart_of_accounts a USING (account_id) WHERE a.is_open IS NOT TRUE
  UNION ALL
    SELECT 'source_unchanged', format('load %s: %s rows with checksum %s when loaded, %s with %s now',
                                      l.load_id, l.accepted_count, l.checksum, m.row_count, m.checksum)
    FROM loads JOIN source.load l USING (load_id) LEFT JOIN control.load_measure m USING (load_id)
    WHERE (l.accepted_count, l.checksum) IS DISTINCT FROM (m.row_count, m.checksum)
  UNION ALL
    SELECT 'source_unchanged', format('%s does not stand any more', o.name) FROM origin o WHERE NOT o.stands
  UNION ALL
    SELECT 'source_unchanged', format('%s: %s entries and %s lines, now %s and %s; accounts that differ: %s', o.name,
                                      o.posted_entries, o.posted_lines, o.entries, o.lines, o.unequal_accounts)
    FROM origin o
    WHERE (o.posted_entries, o.posted_lines, 0::bigint) IS DISTINCT FROM (o.entries, o.lines, o.unequal_accounts)
$$;

-- ---------------------------------------------------------------------------------------------------- opening a derived batch

-- Where it may be booked. Open rejections of the month and the like are about deliveries: they do not hold it up.
CREATE FUNCTION control.require_place_for(b control.batch, first_period text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    failure record;
    status  text := (SELECT p.status FROM control.period p WHERE p.period = b.period);
    later   text;
BEGIN
    FOR failure IN SELECT * FROM control.preflight_failures(b.period, first_period)
                   WHERE rule IN ('first_period', 'predecessor_closed', 'later_period_closed') LOOP
        RAISE EXCEPTION '%', failure.problem USING ERRCODE = 'LA001', HINT = failure.fix, CONSTRAINT = failure.rule;
    END LOOP;
    IF b.kind = 'REVERSAL' AND status IN ('CLOSED', 'LOCKED') THEN
        RAISE EXCEPTION '%: it is %, a reversal is booked into an open month', b.period, lower(status)
            USING ERRCODE = 'LA002', HINT = 'take the open month';
    END IF;
    IF b.kind = 'YEAREND' THEN
        IF status <> 'CLOSED' THEN
            RAISE EXCEPTION '%: it is %, a year ends on the balances of its last month', b.period, lower(status)
                USING ERRCODE = 'LA002', HINT = CASE status WHEN 'LOCKED' THEN 'reopen it first' ELSE format('run ledger-assets close %s first', b.period) END;
        END IF;
        SELECT string_agg(x.batch_id, ', ' ORDER BY x.period, x.first_je_number) INTO later FROM control.batch x
        WHERE x.period > b.period AND x.state = 'COMMITTED';
        IF later IS NOT NULL THEN
            RAISE EXCEPTION '%: the next year has begun on its balances (%)', b.period, later
                USING ERRCODE = 'LA004', HINT = format('roll them back first, newest first: %s', later);
        END IF;
    END IF;
END $$;

-- The caller has locked the period. What is left of an earlier try (somebody was killed) is given up.
CREATE FUNCTION control.open_derived_batch(the_kind text, the_period text, the_original text, the_rule_set text, the_rule_version integer,
                                           the_reason text, first_period text, performed_by text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    leftover text;
    b        control.batch;
    made     bigint;
BEGIN
    SELECT x.batch_id INTO leftover FROM control.batch x
    WHERE x.period = the_period AND x.kind = the_kind AND x.reverses_batch_id IS NOT DISTINCT FROM the_original
      AND x.state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK');
    IF leftover IS NOT NULL THEN
        PERFORM control.abort_batch(leftover, 'begun again', performed_by);
    END IF;
    SELECT count(*) INTO made FROM control.batch x WHERE x.period = the_period AND x.kind = the_kind;
    INSERT INTO control.batch (batch_id, period, kind, state, rule_set, rule_version, first_je_number, started_by, reverses_batch_id, reason)
    SELECT the_period || '-' || the_kind || CASE WHEN made > 0 THEN to_char(made + 1, 'FM"-"9900') ELSE '' END,
           the_period, the_kind, 'INITIATED', the_rule_set, the_rule_version, p.next_je_number, performed_by, the_original, the_reason
    FROM control.period p WHERE p.period = the_period
    RETURNING * INTO STRICT b;
    PERFORM control.require_place_for(b, first_period);
    PERFORM ledger.open_period(the_period);
    INSERT INTO audit.batch_operation (batch_id, period, operation, performed_by, state_after, outcome, details)
    VALUES (b.batch_id, the_period, 'INITIATE', performed_by, 'INITIATED', 'SUCCESS',
            jsonb_build_object('reason', the_reason, 'reverses', the_original));
    PERFORM control.set_batch_state(b.batch_id, 'PREFLIGHT', performed_by);
    RETURN b.batch_id;
END $$;

-- A batch that takes back each entry of a posted one, in an open month; returns its id. One worker for each of the original's.
CREATE FUNCTION control.open_reversal(the_original text, into_period text, the_reason text, confirmation text, first_period text, performed_by text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    o         control.batch;
    standing  text;
    the_batch text;
BEGIN
    PERFORM control.require_read_committed();
    PERFORM FROM control.batch WHERE batch_id = the_original;
    IF NOT FOUND THEN
        RAISE EXCEPTION '%: there is no such batch', the_original USING ERRCODE = 'LA002', HINT = 'control.batch lists them';
    END IF;
    PERFORM control.require_reason(the_original, the_reason);
    PERFORM control.require_confirmation(the_original, confirmation);
    INSERT INTO control.period (period) VALUES (into_period) ON CONFLICT DO NOTHING;
    PERFORM FROM control.period WHERE period = into_period FOR UPDATE;
    SELECT * INTO o FROM control.batch WHERE batch_id = the_original FOR SHARE;
    IF o.state <> 'COMMITTED' OR o.kind = 'YEAREND' OR coalesce(o.entry_count, 0) = 0 THEN
        RAISE EXCEPTION '%: it is % and cannot be reversed', the_original,
            CASE WHEN o.state <> 'COMMITTED' THEN o.state WHEN o.kind = 'YEAREND' THEN 'a year end' ELSE 'without entries' END
            USING ERRCODE = 'LA002', HINT = CASE WHEN o.state = 'COMMITTED' AND o.kind = 'YEAREND' THEN 'roll it back'
                                                 ELSE 'only posted entries can be reversed' END;
    END IF;
    SELECT x.batch_id INTO standing FROM control.batch x WHERE x.reverses_batch_id = the_original AND x.state = 'COMMITTED';
    IF standing IS NOT NULL THEN
        RAISE EXCEPTION '%: it is reversed already, by %', the_original, standing
            USING ERRCODE = 'LA002', HINT = format('roll %s back if the reversal was wrong', standing);
    END IF;
    IF into_period COLLATE "C" < o.period THEN
        RAISE EXCEPTION '%: % lies before the entries that are to be reversed', the_original, into_period
            USING ERRCODE = 'LA002', HINT = 'take the open month';
    END IF;
    the_batch := control.open_derived_batch('REVERSAL', into_period, the_original, o.rule_set, o.rule_version, the_reason, first_period, performed_by);
    INSERT INTO control.batch_worker (batch_id, worker_number, records_expected)
    SELECT the_batch, w.worker_number, w.entry_count FROM control.batch_worker w WHERE w.batch_id = the_original AND w.entry_count > 0;
    INSERT INTO control.batch_source_count (batch_id, source_type, expected_count)
    SELECT the_batch, m.source_type, sum(m.transaction_count) FROM control.worker_measure_source m
    WHERE m.batch_id = the_original GROUP BY m.source_type;
    PERFORM control.set_batch_state(the_batch, 'PROCESSING', performed_by);
    RETURN the_batch;
END $$;

-- The rules of a year end: this function and control.expected_accounts. They ship with the program; who confirms the first year
-- end approves them.
CREATE FUNCTION control.ensure_year_end_rules(approver text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO acct.rule_set (rule_set, version, prepared_by, content_hash, approved_by, approved_at)
    VALUES ('year-end', 1, 'ledger-assets', encode(sha256('year-end 1: income and expense of each fund to its equity account'), 'hex'), approver, now())
    ON CONFLICT DO NOTHING;
    INSERT INTO acct.journal_template (rule_set, rule_version, template_code, version, source_type, description, effective_from)
    VALUES ('year-end', 1, 'YEAR-END', 1, 'YEAREND', 'Year end: income and expense to the surplus of the fund', '1900-01-01')
    ON CONFLICT DO NOTHING;
$$;

CREATE FUNCTION control.open_year_end(the_year text, the_reason text, confirmation text, first_period text, performed_by text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    december  text := the_year || '-12';
    fund      record;
    the_batch text;
    funds     bigint;
BEGIN
    PERFORM control.require_read_committed();
    IF the_year IS NULL OR the_year !~ '^[0-9]{4}$' THEN
        RAISE EXCEPTION '%: it is no year', the_year USING ERRCODE = 'LA002', HINT = 'write it as 2025';
    END IF;
    PERFORM control.require_reason(the_year, the_reason);
    PERFORM control.require_confirmation(the_year, confirmation);
    INSERT INTO control.period (period) VALUES (december) ON CONFLICT DO NOTHING;
    PERFORM FROM control.period WHERE period = december FOR UPDATE;
    PERFORM control.ensure_year_end_rules(performed_by);
    the_batch := control.open_derived_batch('YEAREND', december, NULL, 'year-end', 1, the_reason, first_period, performed_by);
    FOR fund IN SELECT s.fund, string_agg(DISTINCT e.account_code, ', ') AS equity, count(DISTINCT e.account_code) AS n
                FROM ledger.account_balance_snapshot s
                JOIN acct.chart_of_accounts a USING (account_code)
                LEFT JOIN acct.chart_of_accounts e ON e.fund = s.fund AND e.account_type = 'EQUITY' AND e.is_open
                WHERE s.period = december AND a.account_type IN ('INCOME', 'EXPENSE') AND s.closing_balance <> 0
                GROUP BY s.fund HAVING count(DISTINCT e.account_code) <> 1 LOOP
        RAISE EXCEPTION '%: fund % has % (%)', the_year, fund.fund,
            CASE fund.n WHEN 0 THEN 'no open equity account' ELSE 'several open equity accounts' END, coalesce(fund.equity, 'none')
            USING ERRCODE = 'LA002', HINT = 'a year end needs exactly one per fund, for its retained surplus: correct the chart of accounts';
    END LOOP;
    SELECT expected_entries INTO funds FROM control.origin_totals(the_batch);
    IF funds = 0 THEN
        RAISE EXCEPTION '%: there is nothing to carry, every income and expense account is at zero', the_year
            USING ERRCODE = 'LA002', HINT = coalesce('done by ' || (
                SELECT max(x.batch_id) FROM control.batch x WHERE x.period = december AND x.kind = 'YEAREND' AND x.state = 'COMMITTED'),
                'close the months of the year first');
    END IF;
    INSERT INTO control.batch_worker (batch_id, worker_number, records_expected) VALUES (the_batch, 1, funds);
    INSERT INTO control.batch_source_count (batch_id, source_type, expected_count) VALUES (the_batch, 'YEAREND', funds);
    PERFORM control.set_batch_state(the_batch, 'PROCESSING', performed_by);
    RETURN the_batch;
END $$;

-- ---------------------------------------------------------------------------------------------------- what readers see

CREATE FUNCTION control.entry_description(b control.batch, template_description text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN b.reverses_batch_id IS NULL THEN template_description
                ELSE 'Reversal of ' || b.reverses_batch_id || ': ' || template_description END;

CREATE OR REPLACE VIEW staging.je_header_staging AS
SELECT h.period, w.batch_id, h.je_number, h.je_date, t.template_code, t.version AS template_version, t.source_type,
       h.source_id, control.entry_description(b, t.description) AS description, h.total_amount * 0.01 AS total_debit,
       h.total_amount * 0.01 AS total_credit, NULL::timestamptz AS posted_at
FROM staging.je_header h
JOIN control.batch_worker w ON w.header_leaf = h.tableoid
JOIN control.batch b USING (batch_id)
JOIN acct.journal_template t USING (template_id);

CREATE OR REPLACE VIEW ledger.ledger_entry_header AS
SELECT h.period, w.batch_id, h.je_number, h.je_date, t.template_code, t.version AS template_version, t.source_type,
       h.source_id, control.entry_description(b, t.description) AS description, h.total_amount * 0.01 AS total_debit,
       h.total_amount * 0.01 AS total_credit, b.committed_at AS posted_at
FROM ledger.je_header h
JOIN control.batch_worker w ON w.header_leaf = h.tableoid
JOIN control.batch b ON b.batch_id = w.batch_id AND b.state = 'COMMITTED' AND b.batch_id = ANY (control.posted_when_planned())
JOIN acct.journal_template t USING (template_id);

CREATE OR REPLACE VIEW quarantine.rolled_back_header AS
SELECT h.period, w.batch_id, h.je_number, h.je_date, t.template_code, t.version AS template_version, t.source_type,
       h.source_id, control.entry_description(b, t.description) AS description, h.total_amount * 0.01 AS total_debit,
       h.total_amount * 0.01 AS total_credit, b.committed_at AS posted_at, b.rolled_back_at, b.ended_by AS rolled_back_by,
       b.failure_reason AS reason
FROM quarantine.je_header h
JOIN control.batch_worker w ON w.header_leaf = h.tableoid
JOIN control.batch b USING (batch_id)
JOIN acct.journal_template t USING (template_id);

-- ---------------------------------------------------------------------------------------------------- posting

-- Posts the batch in the caller's transaction: everything below happens or nothing does. Returns false when the batch is
-- posted already. Its cost grows with the number of leaves, not of rows, as long as the gates have measured the leaves;
-- what nobody measured, or was changed since, is measured here.
CREATE OR REPLACE FUNCTION ledger.post_batch(the_batch text, first_period text, performed_by text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    b       control.batch;
    failure record;
    w       control.batch_worker;
    l       record;
    status_before text;
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
    PERFORM control.refuse_aborted(b);
    IF b.kind = 'DRYRUN' OR b.state NOT IN ('VALIDATING', 'VALIDATED') THEN
        RAISE EXCEPTION 'batch % cannot be posted from state %', the_batch, b.state
            USING ERRCODE = 'LA002', DETAIL = coalesce(b.failure_reason, ''),
                  HINT = 'stage the period again; its gates have to pass first';
    END IF;
    IF b.kind IN ('REVERSAL', 'YEAREND') THEN
        PERFORM control.require_place_for(b, first_period);
    ELSE
        FOR failure IN SELECT * FROM control.preflight_failures(b.period, first_period) LOOP
            RAISE EXCEPTION '%', failure.problem USING ERRCODE = 'LA001', HINT = failure.fix, CONSTRAINT = failure.rule;
        END LOOP;
    END IF;

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
    PERFORM control.measure_origin(the_batch);
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
        INSERT INTO control.sequence_reservation_log (batch_id, period, first_je_number, last_je_number, entry_count)
        VALUES (the_batch, b.period, b.first_je_number, b.last_je_number, b.entry_count);
    END IF;
    UPDATE control.batch_source_count c SET actual_count = coalesce((
        SELECT sum(transaction_count) FROM control.worker_measure_source m
        WHERE m.batch_id = the_batch AND m.source_type = c.source_type), 0)
    WHERE c.batch_id = the_batch;
    PERFORM ledger.move_fund_balances(the_batch, b.period);
    SELECT status INTO STRICT status_before FROM control.period WHERE period = b.period;
    -- Number and status in one change of the month's record: see control.set_batch_state.
    PERFORM control.note_posting(b.period, CASE WHEN b.entry_count > 0 THEN b.last_je_number + 1 END);
    PERFORM ledger.seal_batch(the_batch);
    PERFORM control.set_batch_state(the_batch, 'COMMITTED', performed_by, CASE WHEN status_before = 'CLOSED' AND EXISTS (
        SELECT FROM control.period p WHERE p.period = b.period AND p.status <> 'CLOSED') THEN '{"reopened_month": true}' ELSE '{}' END::jsonb);
    RETURN true;
END $$;
