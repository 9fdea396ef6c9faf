-- Everything that the close writes, as functions of the database: who may call which is in sql/access/grants.sql (A8). Before,
-- the client did some of it by its own statements, which needed the rights of an owner.

-- ---------------------------------------------------------------------------------------------------- loads

-- One load or withdrawal of a month at a time; held to the end of the transaction.
CREATE FUNCTION source.lock_period(the_period text) RETURNS void LANGUAGE sql
    RETURN pg_advisory_xact_lock(hashtext('source.load'), hashtext(the_period));

CREATE FUNCTION source.leaf_name(the_period text, the_load integer) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN format('txn_source_%s_load_%s', control.period_suffix(the_period), the_load);

-- Another currency can be chosen only while the books hold nothing in the present one.
CREATE FUNCTION source.set_book_currency(the_currency text, performed_by text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO source.book_currency AS book (currency, set_by) VALUES (the_currency, performed_by)
    ON CONFLICT (is_the_one) DO UPDATE SET currency = excluded.currency, set_by = excluded.set_by, set_at = now()
    WHERE book.currency <> excluded.currency
      AND NOT EXISTS (SELECT FROM source.load WHERE status = 'LOADED' AND accepted_count > 0)
$$;

-- The counts follow when the rows are in; nobody sees them before.
CREATE FUNCTION source.open_load(the_period text, the_file text, the_file_sha256 text, the_mapping_sha256 text, performed_by text)
RETURNS integer LANGUAGE sql AS $$
    INSERT INTO source.load (period, file_name, file_sha256, mapping_sha256, loaded_by,
                             row_count, accepted_count, rejected_count, skipped_count, unchanged_count, checksum)
    VALUES (the_period, the_file, the_file_sha256, the_mapping_sha256, performed_by, 0, 0, 0, 0, 0, 0)
    RETURNING load_id
$$;

-- A load that was counted is finished: nothing is added to it any more.
CREATE FUNCTION source.require_open_load(the_load integer) RETURNS source.load LANGUAGE plpgsql AS $$
DECLARE
    l source.load;
BEGIN
    SELECT * INTO l FROM source.load WHERE load_id = the_load AND status = 'LOADED' AND leaf IS NULL AND row_count = 0;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'load %: it is not being loaded', the_load USING ERRCODE = 'LA002', HINT = 'Load the file again.';
    END IF;
    RETURN l;
END $$;

-- An empty table apart from the others, with nothing but its checks: the fastest thing to COPY into. To be called in the
-- transaction that fills it: COPY … FREEZE asks for that.
CREATE FUNCTION source.create_leaf(the_load integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    l    source.load := source.require_open_load(the_load);
    leaf text := format('source.%I', source.leaf_name(l.period, the_load));
    day  date := to_date(l.period, 'YYYY-MM');
BEGIN
    -- The two checks that name period and load say what the partition says, so ATTACH reads no row.
    EXECUTE format('CREATE TABLE %s (LIKE source.txn_source INCLUDING CONSTRAINTS, '
                   'CONSTRAINT is_of_the_period CHECK (period = %L), CONSTRAINT is_of_the_load CHECK (load_id = %s), '
                   'CONSTRAINT has_its_value_date_in_the_period CHECK (bank_value_date >= %L::date AND bank_value_date < %L::date))',
                   leaf, l.period, the_load, day, (day + interval '1 month')::date);
    RETURN leaf;
END $$;

-- A txn_id that the leaf has twice, in rows too far apart to be judged together, is taken out to the rejected rows.
CREATE FUNCTION source.index_leaf(leaf regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE format('CREATE UNIQUE INDEX ON %s (txn_id)', leaf);
    EXCEPTION WHEN unique_violation THEN
        -- The index found it for nothing: searching every file for what hardly any has would cost a pass over its rows.
        EXECUTE format($q$
            WITH first_of_several AS (
                SELECT txn_id, min(row_number) AS row_number FROM %1$s GROUP BY txn_id HAVING count(*) > 1
            ), taken_out AS (
                DELETE FROM %1$s AS later
                USING first_of_several
                WHERE later.txn_id = first_of_several.txn_id AND later.row_number > first_of_several.row_number
                RETURNING later.*
            )
            INSERT INTO source.rejected_row (load_id, row_number, txn_id, reasons, raw)
            SELECT load_id, row_number, txn_id, ARRAY['DUPLICATE_TXN_ID'], to_jsonb(taken_out) - '{period,load_id,row_number}'::text[]
            FROM taken_out $q$, leaf);
        EXECUTE format('CREATE UNIQUE INDEX ON %s (txn_id)', leaf);
    END;
    EXECUTE format('CREATE INDEX ON %s USING brin (bank_value_date)', leaf);
    -- Rows lie in the order of the file: a range of row numbers is a range of pages.
    EXECUTE format('CREATE INDEX ON %s USING brin (row_number)', leaf);
    EXECUTE format('CREATE INDEX ON %s (product_code, channel)', leaf);
END $$;

-- Makes the leaf part of its month, and the month if it is the first; no row is read. Until the transaction ends, nobody
-- can attach to the same month, or start another month.
CREATE FUNCTION source.attach_leaf(l source.load, leaf regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    month text := format('source.%I', 'txn_source_' || control.period_suffix(l.period));
BEGIN
    IF to_regclass(month) IS NULL THEN
        -- CREATE TABLE … PARTITION OF would lock the root against every reader; ATTACH does not.
        EXECUTE format('CREATE TABLE %s (LIKE source.txn_source INCLUDING CONSTRAINTS) PARTITION BY LIST (load_id)', month);
        PERFORM source.guard_table(month::regclass, false);
        EXECUTE format('ALTER TABLE source.txn_source ATTACH PARTITION %s FOR VALUES IN (%L)', month, l.period);
    END IF;
    PERFORM source.guard_table(leaf, true);
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES IN (%s)', month, leaf, l.load_id);
END $$;

-- Indexes and attaches what was stored, writes down what PostgreSQL itself finds in it, and settles what other loads of
-- the month have to do with it. `unchanged`: earlier load -> rows that it has already.
CREATE FUNCTION source.finish_load(the_load integer, rows_in_file integer, rows_skipped integer, unchanged jsonb, performed_by text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    l             source.load := source.require_open_load(the_load);
    the_leaf      regclass := to_regclass(format('source.%I', source.leaf_name(l.period, the_load)));
    totals        source.load_total[];
    sum_of_hashes numeric := 0;
BEGIN
    IF the_leaf IS NOT NULL THEN
        PERFORM source.index_leaf(the_leaf);
        EXECUTE format($q$
            SELECT array_agg(ROW(%2$s, txn_type, n, gross, tabarru, tanahud, ujroh)::source.load_total), sum(checksum)
            FROM (SELECT txn_type, count(*) AS n, sum(gross_amount) AS gross, sum(tabarru_amount) AS tabarru,
                         sum(tanahud_amount) AS tanahud, sum(ujroh_amount) AS ujroh,
                         sum(source.txn_hash(ROW(txn.*)::source.txn_source)) AS checksum
                  FROM %1$s AS txn GROUP BY txn_type) AS by_type $q$, the_leaf, the_load)
        INTO totals, sum_of_hashes;
        INSERT INTO source.load_total SELECT t.* FROM unnest(totals) AS t;
        PERFORM source.attach_leaf(l, the_leaf);
    END IF;
    INSERT INTO source.load_overlap (load_id, earlier_load_id, unchanged_count)
    SELECT the_load, key::integer, value::integer FROM jsonb_each_text(unchanged);
    -- A row that was refused for another reason may also bear an id that is taken: say so too.
    UPDATE source.rejected_row AS r
    SET reasons = r.reasons || ARRAY['DUPLICATE_TXN_ID']
    FROM source.txn_source AS txn
    WHERE r.load_id = the_load AND NOT r.reasons @> ARRAY['DUPLICATE_TXN_ID']
      AND txn.period = l.period AND txn.txn_id = r.txn_id
      AND (txn.load_id <> r.load_id OR txn.row_number < r.row_number);
    -- What was refused before and has now been delivered in order needs nobody's attention any more.
    UPDATE source.rejected_row AS r
    SET status = 'RESOLVED', resolved_by = performed_by, resolved_at = now(), resolved_by_load = the_load,
        resolution = format('accepted in load %s', the_load)
    FROM source.load AS refused, source.txn_source AS accepted
    WHERE r.load_id = refused.load_id AND refused.period = l.period AND refused.load_id <> the_load
      AND r.status <> 'RESOLVED'
      AND accepted.period = l.period AND accepted.load_id = the_load AND accepted.txn_id = r.txn_id;
    -- What was stored is counted here; what was read is told by the reader. The CHECK no_row_is_lost compares the two.
    UPDATE source.load AS x
    SET row_count = rows_in_file,
        skipped_count = rows_skipped,
        unchanged_count = (SELECT coalesce(sum(o.unchanged_count), 0) FROM source.load_overlap o WHERE o.load_id = the_load),
        accepted_count = coalesce((SELECT sum(t.row_count) FROM source.load_total t WHERE t.load_id = the_load), 0),
        rejected_count = (SELECT count(*) FROM source.rejected_row r WHERE r.load_id = the_load),
        checksum = sum_of_hashes,
        leaf = the_leaf
    WHERE x.load_id = the_load;
END $$;

-- Takes a load out again: its rows go, its record stays, its rejections are closed, and those of earlier loads that it
-- resolved are open again. Waits for everybody who reads the rows.
CREATE FUNCTION source.withdraw_load(the_load integer, reason text, performed_by text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    l     source.load;
    month regclass;
    taken text;
    later integer;
BEGIN
    PERFORM control.require_read_committed();
    PERFORM source.lock_period((SELECT period FROM source.load WHERE load_id = the_load));
    SELECT * INTO l FROM source.load WHERE load_id = the_load;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'load %: there is no such load', the_load USING ERRCODE = 'LA002', HINT = 'look at ledger-assets status';
    END IF;
    IF control.is_there(l.leaf) THEN
        -- The month before the leaf, as every query locks them, so that nobody waits for us while we wait for him.
        SELECT inhparent INTO month FROM pg_inherits WHERE inhrelid = l.leaf;
        EXECUTE format('LOCK TABLE ONLY %s, ONLY %s IN ACCESS EXCLUSIVE MODE', month, l.leaf);
    END IF;
    -- FOR UPDATE: a posting transaction that takes the load meanwhile waits for us, or we for it.
    SELECT * INTO l FROM source.load WHERE load_id = the_load FOR UPDATE;
    SELECT batch_id INTO taken FROM control.load_batch WHERE load_id = the_load;
    SELECT min(o.load_id) INTO later FROM source.load_overlap o JOIN source.load x USING (load_id)
    WHERE o.earlier_load_id = the_load AND x.status = 'LOADED';
    IF l.status = 'WITHDRAWN' THEN
        RAISE EXCEPTION 'load %: it is withdrawn already', the_load USING ERRCODE = 'LA002', HINT = 'nothing is left to do';
    ELSIF taken IS NOT NULL THEN
        RAISE EXCEPTION 'load %: batch % has posted it', the_load, taken USING ERRCODE = 'LA002',
            HINT = 'roll that batch back first, or deliver correcting transactions in an open period';
    ELSIF later IS NOT NULL THEN
        RAISE EXCEPTION 'load %: load % left rows out because this one has them', the_load, later USING ERRCODE = 'LA002',
            HINT = format('withdraw load %s first, and load its file again afterwards', later);
    END IF;
    -- The new content_version makes every measurement of the rows void: a batch that staged them cannot be posted.
    UPDATE source.load SET status = 'WITHDRAWN', leaf = NULL, withdrawn_at = now(), withdrawn_by = performed_by,
        withdrawal_reason = reason, content_version = content_version + 1
    WHERE load_id = the_load;
    IF control.is_there(l.leaf) THEN
        EXECUTE format('DROP TABLE %s', l.leaf);  -- which detaches it
    END IF;
    UPDATE source.rejected_row
    SET status = 'RESOLVED', resolved_by = performed_by, resolved_at = now(), resolution = 'load withdrawn: ' || reason
    WHERE load_id = the_load AND status <> 'RESOLVED';
    -- The load that brought these rows in order is gone: somebody has to look at them again.
    UPDATE source.rejected_row
    SET status = 'OPEN', resolved_by = NULL, resolved_at = NULL, resolution = NULL, resolved_by_load = NULL
    WHERE resolved_by_load = the_load;
END $$;

-- Declares the open rejections of a month looked at and left out for good; returns how many there were.
CREATE FUNCTION source.acknowledge_rejections(the_period text, reason text, performed_by text) RETURNS bigint LANGUAGE sql AS $$
    WITH acknowledged AS (
        UPDATE source.rejected_row AS r
        SET status = 'ACKNOWLEDGED', resolved_by = performed_by, resolved_at = now(), resolution = reason
        FROM source.load AS l
        WHERE r.load_id = l.load_id AND l.period = the_period AND r.status = 'OPEN'
        RETURNING r.row_number)
    SELECT count(*) FROM acknowledged
$$;

-- ---------------------------------------------------------------------------------------------------- rules

-- Writes a version of a rule set with its chart of accounts. A version that nobody approved is a draft, and gives way.
CREATE FUNCTION acct.store_rule_set(rules jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    the_set     CONSTANT text := rules ->> 'rule_set';
    the_version CONSTANT integer := rules ->> 'version';
    template    jsonb;
    the_id      smallint;
BEGIN
    PERFORM FROM acct.rule_set WHERE rule_set = the_set AND version = the_version AND approved_by IS NOT NULL FOR UPDATE;
    IF FOUND THEN
        RAISE EXCEPTION 'rule set % v%: it is approved', the_set, the_version
            USING ERRCODE = 'LA002', HINT = 'give the changed rules the next version number';
    END IF;
    DELETE FROM acct.product_account_map WHERE rule_set = the_set AND rule_version = the_version;
    DELETE FROM acct.product WHERE rule_set = the_set AND rule_version = the_version;
    DELETE FROM acct.journal_template WHERE rule_set = the_set AND rule_version = the_version;
    DELETE FROM acct.rule_set WHERE rule_set = the_set AND version = the_version;

    INSERT INTO acct.chart_of_accounts (account_code, description, account_type, fund, is_open, mirror_account_code, recognised_type,
                                        recognised_component)
    SELECT account_code, description, account_type, fund, is_open, mirror_account_code, recognised_type, recognised_component
    FROM jsonb_populate_recordset(NULL::acct.chart_of_accounts, rules -> 'accounts')
    ON CONFLICT (account_code) DO UPDATE SET
        description = excluded.description, account_type = excluded.account_type, fund = excluded.fund, is_open = excluded.is_open,
        mirror_account_code = excluded.mirror_account_code, recognised_type = excluded.recognised_type,
        recognised_component = excluded.recognised_component;
    INSERT INTO acct.rule_set (rule_set, version, prepared_by, content_hash)
    VALUES (the_set, the_version, rules ->> 'prepared_by', rules ->> 'content_hash');
    INSERT INTO acct.product (rule_set, rule_version, product_code)
    SELECT the_set, the_version, jsonb_array_elements_text(rules -> 'products');
    INSERT INTO acct.product_account_map (rule_set, rule_version, product_code, channel, account_code, replacement_account_code)
    SELECT the_set, the_version, product_code, coalesce(channel, '*'), account_code, replacement_account_code
    FROM jsonb_populate_recordset(NULL::acct.product_account_map, rules -> 'overrides');
    FOR template IN SELECT * FROM jsonb_array_elements(rules -> 'templates') LOOP
        INSERT INTO acct.journal_template (rule_set, rule_version, template_code, version, source_type, description,
                                           effective_from, effective_to, requires_approval, is_enabled)
        SELECT the_set, the_version, template_code, version, source_type, description, effective_from, effective_to,
               requires_approval, is_enabled
        FROM jsonb_populate_record(NULL::acct.journal_template, template)
        RETURNING template_id INTO the_id;
        INSERT INTO acct.journal_template_match (template_id, match_number, product_code, channel, condition_expression, priority)
        SELECT the_id, match_number, product_code, channel, condition_expression, priority
        FROM jsonb_populate_recordset(NULL::acct.journal_template_match, template -> 'matches');
        INSERT INTO acct.journal_template_line (template_id, entry_number, line_number, side, account_code, fund,
                                                amount_expression, takes_remainder)
        SELECT the_id, entry_number, line_number, side, account_code, fund, amount_expression, takes_remainder
        FROM jsonb_populate_recordset(NULL::acct.journal_template_line, template -> 'lines');
    END LOOP;
END $$;

-- Records the approval of exactly this content; false when there is no such version that waits for one.
CREATE FUNCTION acct.approve(the_set text, the_version integer, the_content_hash text, performed_by text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE acct.rule_set SET approved_by = performed_by, approved_at = clock_timestamp()
    WHERE rule_set = the_set AND version = the_version AND content_hash = the_content_hash AND approved_by IS NULL;
    RETURN FOUND;
END $$;

-- ---------------------------------------------------------------------------------------------------- workers

-- NULL for a worker that is gone or has completed.
CREATE FUNCTION control.start_worker(the_batch text, the_worker integer) RETURNS timestamptz LANGUAGE sql AS $$
    UPDATE control.batch_worker SET status = 'RUNNING', started_at = clock_timestamp(), error = NULL
    WHERE batch_id = the_batch AND worker_number = the_worker AND status <> 'COMPLETED'
    RETURNING started_at
$$;

CREATE FUNCTION control.fail_worker(the_batch text, the_attempt integer, the_worker integer, problem text) RETURNS void LANGUAGE sql AS $$
    UPDATE control.batch_worker w SET status = 'FAILED', error = problem
    FROM control.batch b
    WHERE b.batch_id = w.batch_id AND b.attempt = the_attempt
      AND w.batch_id = the_batch AND w.worker_number = the_worker AND w.status <> 'COMPLETED'
$$;

-- A guarded table is complete: the engine, which could fill it until now, can no longer.
CREATE OR REPLACE FUNCTION control.guard_table(the_table regclass, is_leaf boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER guard AFTER INSERT OR UPDATE OR DELETE ON %s '
                   'FOR EACH STATEMENT EXECUTE FUNCTION control.guard_leaf()', the_table);
    EXECUTE format('CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON %s '
                   'FOR EACH STATEMENT EXECUTE FUNCTION control.guard_leaf()', the_table);
    IF is_leaf THEN
        EXECUTE format('CREATE TRIGGER refuse_posted BEFORE INSERT OR UPDATE OR DELETE ON %s '
                       'FOR EACH ROW EXECUTE FUNCTION control.refuse_posted()', the_table);
    END IF;
    EXECUTE format('REVOKE INSERT ON %s FROM ledger_engine', the_table);
END $$;

CREATE OR REPLACE FUNCTION source.guard_table(the_table regclass, is_leaf boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s '
                   'FOR EACH STATEMENT EXECUTE FUNCTION source.note_change()', the_table);
    IF is_leaf THEN
        EXECUTE format('CREATE TRIGGER refuse_processed BEFORE INSERT OR UPDATE OR DELETE ON %s '
                       'FOR EACH ROW EXECUTE FUNCTION source.refuse_processed()', the_table);
    END IF;
    EXECUTE format('REVOKE INSERT ON %s FROM ledger_engine', the_table);
END $$;

-- The names come from the client and are put into statements that the owner runs: they have to be those of create_leaves.
CREATE FUNCTION staging.require_own_leaves(the_batch text, the_attempt integer, the_worker integer, header_leaf text, line_leaf text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    suffix text := format('%s_a%s_w%s', replace(lower(the_batch), '-', '_'), the_attempt, lpad(the_worker::text, 3, '0'));
BEGIN
    IF (header_leaf, line_leaf) IS DISTINCT FROM
       (format('staging.%I', 'je_header_' || suffix), format('staging.%I', 'je_line_' || suffix)) THEN
        RAISE EXCEPTION '% and % are not the leaves of worker % of batch %', header_leaf, line_leaf, the_worker, the_batch
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION staging.finish_worker(the_batch text, the_attempt integer, the_worker integer, records bigint,
                                      first_number integer, last_number integer, lines bigint, header_leaf text, line_leaf text,
                                      started timestamptz, seal_version smallint, dictionary_hash bytea, block_hashes bytea[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM staging.require_attempt(the_batch, the_attempt);
    IF header_leaf IS NOT NULL OR line_leaf IS NOT NULL THEN
        PERFORM staging.require_own_leaves(the_batch, the_attempt, the_worker, header_leaf, line_leaf);
        EXECUTE format('ALTER TABLE %s ADD PRIMARY KEY (je_number)', header_leaf);
        EXECUTE format('ALTER TABLE %s ADD PRIMARY KEY (je_number, line_number)', line_leaf);
        PERFORM control.guard_table(header_leaf::regclass, true), control.guard_table(line_leaf::regclass, true);
        EXECUTE format('ALTER TABLE %s INHERIT staging.je_header', header_leaf);
        EXECUTE format('ALTER TABLE %s INHERIT staging.je_line', line_leaf);
    END IF;
    UPDATE control.batch_worker w SET status = 'COMPLETED', records_expected = records, records_processed = records,
        first_je_number = first_number, last_je_number = last_number, entry_count = coalesce(last_number - first_number + 1, 0),
        line_count = lines, started_at = started, completed_at = clock_timestamp(), error = NULL,
        header_leaf = finish_worker.header_leaf::regclass, line_leaf = finish_worker.line_leaf::regclass
    WHERE w.batch_id = the_batch AND w.worker_number = the_worker;
    INSERT INTO control.batch_checkpoint (batch_id, worker_number, attempt, records_processed, last_je_number)
    VALUES (the_batch, the_worker, the_attempt, records, last_number);
    INSERT INTO control.worker_seal (batch_id, worker_number, seal_version, dictionary_hash, first_je_number, entry_count, line_count,
                                     block_hashes, root)
    VALUES (the_batch, the_worker, seal_version, dictionary_hash, first_number, coalesce(last_number - first_number + 1, 0), lines,
            block_hashes, ledger.merkle_root(block_hashes));
END $$;

-- ---------------------------------------------------------------------------------------------------- gates

-- Nothing for an attempt that was replaced meanwhile: the verdict is not about its successor.
CREATE FUNCTION control.record_verdict(the_batch text, the_attempt integer, the_gate text, has_passed boolean, was_expected text,
                                       was_actual text, the_difference text, the_detail text, offending_rows jsonb)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO control.batch_validation_result (batch_id, attempt, gate, passed, expected, actual, difference, detail, offending)
    SELECT batch_id, attempt, the_gate, has_passed, was_expected, was_actual, the_difference, the_detail, offending_rows
    FROM control.batch
    WHERE batch_id = the_batch AND attempt = the_attempt
$$;

-- control.set_batch_state can say anything of a batch; the engine may say these three things.

-- All gates have passed. (The posting does not rely on it.)
CREATE FUNCTION control.pass_batch(the_batch text, the_attempt integer, performed_by text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM control.batch WHERE batch_id = the_batch AND attempt = the_attempt) THEN
        RAISE EXCEPTION 'batch %: attempt % was replaced by another run', the_batch, the_attempt
            USING ERRCODE = 'LA002', HINT = 'look at control.batch';
    END IF;
    PERFORM control.set_batch_state(the_batch, 'VALIDATED', performed_by);
END $$;

-- It failed. An attempt that was replaced meanwhile must not fail its successor.
CREATE FUNCTION control.fail_batch(the_batch text, the_attempt integer, performed_by text, reason text) RETURNS void LANGUAGE sql AS $$
    SELECT control.set_batch_state(batch_id, 'FAILED', performed_by, jsonb_build_object('reason', fail_batch.reason))  -- not the batch's own column
    FROM control.batch
    WHERE batch_id = the_batch AND attempt = the_attempt AND state IN ('PROCESSING', 'VALIDATING', 'VALIDATED', 'FAILED')
$$;

-- A rehearsal is over: its staged rows go, its record stays.
CREATE FUNCTION control.end_dry_run(the_batch text, performed_by text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM control.batch WHERE batch_id = the_batch AND kind = 'DRYRUN') THEN
        RAISE EXCEPTION 'batch %: it is no dry run', the_batch USING ERRCODE = 'LA002', HINT = 'abort it, as batch_admin';
    END IF;
    PERFORM control.drop_staged_leaves(the_batch);
    PERFORM control.set_batch_state(the_batch, 'ABORTED', performed_by, '{"reason": "dry run"}');
END $$;
