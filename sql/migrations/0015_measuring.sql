-- Measuring reads each row once (docs/performance.md): one scan of the lines gives what the entries and what the accounts add
-- up to; of a load whose checksum is the one that it was loaded with, the totals are known.

-- A sum of bigint that stays one: sum(bigint) goes by way of numeric, once for each entry and fund. int8pl raises on
-- overflow ("bigint out of range").
CREATE AGGREGATE control.exact_sum(bigint) (
    SFUNC = int8pl, STYPE = bigint, INITCOND = '0', COMBINEFUNC = int8pl, PARALLEL = SAFE
);

-- What one scan of a worker's lines adds up to; the accounts as rows for the table of control totals. entries_hash is of the
-- numbers and debits of the entries in their order, null for sums beyond bigint.
CREATE TYPE control.line_totals AS (
    unbalanced_entries      bigint,
    fund_unbalanced_entries bigint,
    entries_hash            bytea,
    accounts                control.worker_measure_account[]
);

-- The lines of an entry lie side by side in the key, so an entry is added up when its last line is read, without a table of
-- entries: 2 million lines take 0.42 s of CPU, by a hash table 0.60. It is the settings that ask for that, on whatever server;
-- and the other core is the other connection's. `wide` is for sums beyond bigint.
CREATE FUNCTION control.add_up_lines(the_batch text, the_worker integer, line_leaf regclass, wide boolean)
RETURNS control.line_totals LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET max_parallel_workers_per_gather = 0
SET work_mem = '128MB' AS $$
DECLARE
    adder        text := CASE WHEN wide THEN 'sum' ELSE 'control.exact_sum' END;
    fund_sums    text;
    fund_unequal text;
    totals       control.line_totals;
BEGIN
    -- An entry that balances, and balances in all funds but one, balances in that one too: the fund with the most accounts is
    -- not added up. Accounts that nobody knows would count as its; they fail a gate of their own.
    SELECT string_agg(format('%s(amount) FILTER (WHERE account_id = ANY (%L::smallint[])) AS fund_%s', adder, accounts, n), ', '),
           string_agg(format('fund_%s <> 0', n), ' OR ')
    INTO fund_sums, fund_unequal
    FROM (SELECT row_number() OVER (ORDER BY count(*), fund) AS n, count(*) OVER () AS funds, array_agg(account_id) AS accounts
          FROM acct.chart_of_accounts GROUP BY fund) AS f
    WHERE n < funds;
    EXECUTE format($q$
        SELECT count(*) FILTER (WHERE je_number IS NOT NULL AND net <> 0),
               count(*) FILTER (WHERE je_number IS NOT NULL AND (net <> 0 OR %1$s)),
               %5$s,
               array_agg(ROW($1, $2, account_id, lines, debit, debit - net)::control.worker_measure_account)
                   FILTER (WHERE account_id IS NOT NULL)
        FROM (SELECT je_number, account_id, count(*) AS lines, %2$s(amount) AS net, %2$s(greatest(amount, 0)) AS debit, %3$s
              FROM %4$s GROUP BY GROUPING SETS (je_number, account_id)) AS added $q$,
        coalesce(fund_unequal, 'false'), adder, coalesce(fund_sums, '0 AS no_other_fund'), line_leaf,
        CASE WHEN wide THEN 'NULL'
             ELSE 'sha256(string_agg(int4send(je_number) || int8send(debit), '''') FILTER (WHERE je_number IS NOT NULL))' END)
    INTO totals USING the_batch, the_worker;
    RETURN totals;
END $$;

-- The same hash of what the headers say: one comparison instead of a join of entries with headers.
CREATE FUNCTION control.hash_of_headers(header_leaf regclass) RETURNS bytea LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
    the_hash bytea;
BEGIN
    EXECUTE format('SELECT sha256(string_agg(int4send(je_number) || int8send(total_amount), '''' ORDER BY je_number)) FROM %s',
                   header_leaf) INTO the_hash;
    RETURN the_hash;
END $$;

-- Where the hashes differ (or nobody could take one): entries whose debits are not what their header says, lines without a
-- header, headers without lines. A total is never zero.
CREATE FUNCTION control.header_line_mismatches(header_leaf regclass, line_leaf regclass) RETURNS bigint LANGUAGE plpgsql
SET work_mem = '128MB' AS $$
DECLARE
    mismatches bigint;
BEGIN
    EXECUTE format($q$
        SELECT count(*) FROM (
            SELECT je_number FROM (SELECT je_number, greatest(amount, 0) AS debit FROM %s
                                   UNION ALL SELECT je_number, -total_amount FROM %s) AS r
            GROUP BY je_number HAVING sum(debit) <> 0) AS mismatch $q$, line_leaf, header_leaf) INTO mismatches;
    RETURN mismatches;
END $$;

CREATE OR REPLACE FUNCTION control.measure_worker(the_batch text, the_worker integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    w        control.batch_worker;
    is_there boolean;
    totals   control.line_totals;
    headers  record;
    mismatches bigint := 0;
BEGIN
    -- The batch before the worker before the leaf, like everybody: whoever posts or replaces the batch has to wait.
    PERFORM FROM control.batch WHERE batch_id = the_batch FOR SHARE;
    SELECT * INTO w FROM control.batch_worker WHERE batch_id = the_batch AND worker_number = the_worker FOR UPDATE;
    IF w.status IS DISTINCT FROM 'COMPLETED' THEN  -- what it would measure now would be taken for what it writes
        PERFORM control.refuse_aborted(b) FROM control.batch b WHERE b.batch_id = the_batch;
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
    BEGIN
        totals := control.add_up_lines(the_batch, the_worker, w.line_leaf, wide => false);
    EXCEPTION WHEN numeric_value_out_of_range THEN
        totals := control.add_up_lines(the_batch, the_worker, w.line_leaf, wide => true);
    END;
    IF totals.entries_hash IS DISTINCT FROM control.hash_of_headers(w.header_leaf) THEN
        mismatches := control.header_line_mismatches(w.header_leaf, w.line_leaf);
    END IF;
    EXECUTE format($q$
        SELECT coalesce(sum(entries), 0) AS entries, min(first_number) AS first_number, max(last_number) AS last_number,
               array_agg(ROW($1, $2, source_type, transactions)::control.worker_measure_source) FILTER (WHERE transactions > 0) AS sources
        FROM (SELECT t.source_type, sum(h.entries) AS entries, min(h.first_number) AS first_number, max(h.last_number) AS last_number,
                     sum(h.transactions) AS transactions
              FROM (SELECT template_id, count(*) AS entries, min(je_number) AS first_number, max(je_number) AS last_number,
                           count(*) FILTER (WHERE source_entry = 1) AS transactions
                    FROM %s GROUP BY template_id) AS h
              LEFT JOIN acct.journal_template t USING (template_id) GROUP BY t.source_type) AS by_type $q$, w.header_leaf)
    INTO headers USING the_batch, the_worker;
    INSERT INTO control.worker_measure (batch_id, worker_number, content_version, entry_count, line_count, first_je_number,
        last_je_number, debit_total, credit_total, unbalanced_entries, fund_unbalanced_entries, header_line_mismatches)
    SELECT the_batch, the_worker, w.content_version, headers.entries, coalesce(sum(a.line_count), 0), headers.first_number,
           headers.last_number, coalesce(sum(a.debit_total), 0), coalesce(sum(a.credit_total), 0), totals.unbalanced_entries,
           totals.fund_unbalanced_entries, mismatches
    FROM unnest(totals.accounts) AS a;
    INSERT INTO control.worker_measure_account SELECT a.* FROM unnest(totals.accounts) AS a;
    INSERT INTO control.worker_measure_source SELECT s.* FROM unnest(headers.sources::control.worker_measure_source[]) AS s
    WHERE s.source_type IS NOT NULL;
END $$;

-- As before; the month is the default, because sent with each of millions of rows it costs a fifth of the COPY; and autovacuum lets the
-- leaf be until it is posted: its ANALYZE reads every page once more while the next leaves are being written.
CREATE OR REPLACE FUNCTION staging.create_leaves(the_batch text, the_attempt integer, the_worker integer, first_number integer,
                                                 last_number integer, OUT header_leaf text, OUT line_leaf text)
LANGUAGE plpgsql AS $$
DECLARE
    b      control.batch := staging.require_attempt(the_batch, the_attempt);
    suffix text;
    leaf   text;
BEGIN
    suffix := format('%s_a%s_w%s', replace(lower(the_batch), '-', '_'), the_attempt, lpad(the_worker::text, 3, '0'));
    header_leaf := format('staging.%I', 'je_header_' || suffix);
    line_leaf   := format('staging.%I', 'je_line_' || suffix);
    EXECUTE format('CREATE TABLE %s (LIKE staging.je_header, CHECK (period = %L), '
                   'CHECK (je_number >= %s AND je_number <= %s), CHECK (total_amount > 0)) WITH (autovacuum_enabled = off)',
                   header_leaf, b.period, first_number, last_number);
    EXECUTE format('CREATE TABLE %s (LIKE staging.je_line, CHECK (period = %L), '
                   'CHECK (je_number >= %s AND je_number <= %s), CHECK (amount <> 0)) WITH (autovacuum_enabled = off)',
                   line_leaf, b.period, first_number, last_number);
    FOREACH leaf IN ARRAY ARRAY[header_leaf, line_leaf] LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN period SET DEFAULT %L', leaf, b.period);
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION ledger.attach_leaf(root text, the_period text, leaf regclass, first_number integer, last_number integer)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    leaf_name text;
BEGIN
    SELECT relname INTO leaf_name FROM pg_class WHERE oid = leaf;
    EXECUTE format('ALTER TABLE %s NO INHERIT staging.%I', leaf, root);
    EXECUTE format('ALTER TABLE %s RESET (autovacuum_enabled)', leaf);
    EXECUTE format('ALTER TABLE %s SET SCHEMA ledger', leaf);
    EXECUTE format('ALTER TABLE ledger.%I ATTACH PARTITION ledger.%I FOR VALUES FROM (%s) TO (%s)',
                   root || '_' || control.period_suffix(the_period), leaf_name, first_number, last_number + 1);
END $$;

-- Two writers keep two cores busy: a parallel index build by both of them made each take 0.65 instead of 0.38 s for 2 million
-- lines. And their keys are sorted in memory, on whatever server.
ALTER FUNCTION staging.finish_worker(text, integer, integer, bigint, integer, integer, bigint, text, text, timestamptz, smallint,
                                     bytea, bytea[])
    SET max_parallel_maintenance_workers = 0 SET maintenance_work_mem = '128MB';

-- As before, in one scan instead of two.
CREATE OR REPLACE FUNCTION control.measure_load(the_load integer) RETURNS void LANGUAGE plpgsql
SET max_parallel_workers_per_gather = 0 AS $$
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
                   sum(ujroh_amount) AS ujroh, sum(source.txn_hash(ROW(txn.*)::source.txn_source)) AS checksum
            FROM %s AS txn GROUP BY txn_type),
        measure AS (
            INSERT INTO control.load_measure (load_id, content_version, row_count, checksum)
            SELECT $1, $2, coalesce(sum(row_count), 0), coalesce(sum(checksum), 0) FROM by_type
            RETURNING load_id)
        INSERT INTO control.load_measure_total (load_id, txn_type, row_count, tabarru_total, tanahud_total, ujroh_total)
        SELECT $1, txn_type, row_count, tabarru, tanahud, ujroh FROM by_type, measure $q$, l.leaf)
    USING the_load, l.content_version;
END $$;
