-- What the stored rows add up to, read by PostgreSQL itself, and the gates as conditions on it (docs/adr/0004).

-- ---------------------------------------------------------------------------------------------------- measuring

-- No trigger tells of a dropped table, so the content version does not know.
CREATE FUNCTION control.is_there(leaf regclass) RETURNS boolean LANGUAGE sql STABLE RETURN EXISTS (SELECT FROM pg_class WHERE oid = leaf);

CREATE FUNCTION control.measure_load(the_load integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    l source.load;
BEGIN
    -- FOR UPDATE: whoever changes the rows meanwhile has to bump the version after us.
    SELECT * INTO STRICT l FROM source.load WHERE load_id = the_load FOR UPDATE;
    IF control.is_there(l.leaf)
       AND EXISTS (SELECT FROM control.load_measure m WHERE m.load_id = the_load AND m.content_version = l.content_version) THEN
        RETURN;
    END IF;
    DELETE FROM control.load_measure WHERE load_id = the_load;
    IF NOT control.is_there(l.leaf) THEN  -- withdrawn after it was staged, or dropped
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
    is_there      boolean;
    fund_sums     text;
    fund_unequal  text;
BEGIN
    -- The batch before the worker before the leaf, like everybody: whoever posts or replaces the batch has to wait.
    PERFORM FROM control.batch WHERE batch_id = the_batch FOR SHARE;
    SELECT * INTO w FROM control.batch_worker WHERE batch_id = the_batch AND worker_number = the_worker FOR UPDATE;
    IF w.status IS DISTINCT FROM 'COMPLETED' THEN  -- what it would measure now would be taken for what it writes
        RAISE EXCEPTION 'worker % of batch % has written nothing yet', the_worker, the_batch
            USING ERRCODE = 'LA002', HINT = 'Another run replaced the batch; look at control.batch.';
    END IF;
    is_there := control.is_there(w.header_leaf) AND control.is_there(w.line_leaf);
    IF is_there AND EXISTS (SELECT FROM control.worker_measure m WHERE m.batch_id = the_batch AND m.worker_number = the_worker
                            AND m.content_version = w.content_version) THEN
        RETURN;
    END IF;
    DELETE FROM control.worker_measure WHERE batch_id = the_batch AND worker_number = the_worker;
    IF NOT is_there THEN  -- a worker without a single entry, or a dropped leaf
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
    SELECT 'record_count', format('worker %s: %s statements changed its entries after it wrote them', worker_number, content_version)
    FROM control.batch_worker WHERE batch_id = the_batch AND content_version > 0
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
$$;
