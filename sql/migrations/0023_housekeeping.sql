-- Housekeeping (B7): month partitions made ahead; months that leave the database for files, and come back (docs/adr/0020).

CREATE FUNCTION control.months_later(period text, months integer) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN to_char(to_date(period, 'YYYY-MM') + months * interval '1 month', 'YYYY-MM');

CREATE FUNCTION control.newest_closed() RETURNS text LANGUAGE sql STABLE
    RETURN (SELECT max(p.period) FROM control.period p WHERE p.status IN ('CLOSED', 'LOCKED'));

-- ---------------------------------------------------------------------------------------------------- rotation

-- Who makes the partitions of a month holds this to the end of his transaction: a close that needs the month waits for it,
-- instead of failing on a table that is there when it commits.
CREATE FUNCTION control.month_partitions_key(the_period text) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN hashtextextended('month partitions ' || the_period, 0);

CREATE OR REPLACE FUNCTION ledger.open_period(the_period text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    root text;
    month text;
BEGIN
    PERFORM pg_advisory_xact_lock(control.month_partitions_key(the_period));
    FOREACH root IN ARRAY ARRAY['je_header', 'je_line'] LOOP
        month := root || '_' || control.period_suffix(the_period);
        CONTINUE WHEN to_regclass(format('ledger.%I', month)) IS NOT NULL;
        -- CREATE … PARTITION OF would lock the root against every reader; ATTACH does not.
        EXECUTE format('CREATE TABLE ledger.%I (LIKE ledger.%I) PARTITION BY RANGE (je_number)', month, root);
        PERFORM control.guard_table(format('ledger.%I', month)::regclass, false);
        EXECUTE format('ALTER TABLE ledger.%I ATTACH PARTITION ledger.%I FOR VALUES IN (%L)', root, month, the_period);
    END LOOP;
END $$;

CREATE FUNCTION source.open_period(the_period text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    month text := format('source.%I', 'txn_source_' || control.period_suffix(the_period));
BEGIN
    PERFORM pg_advisory_xact_lock(control.month_partitions_key(the_period));
    IF to_regclass(month) IS NULL THEN
        -- CREATE TABLE … PARTITION OF would lock the root against every reader; ATTACH does not.
        EXECUTE format('CREATE TABLE %s (LIKE source.txn_source INCLUDING CONSTRAINTS) PARTITION BY LIST (load_id)', month);
        PERFORM source.guard_table(month::regclass, false);
        EXECUTE format('ALTER TABLE source.txn_source ATTACH PARTITION %s FOR VALUES IN (%L)', month, the_period);
    END IF;
END $$;

-- Makes the leaf part of its month, and the month if it is the first; no row is read. Until the transaction ends, nobody
-- can attach to the same month, or start another month.
CREATE OR REPLACE FUNCTION source.attach_leaf(l source.load, leaf regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM source.open_period(l.period);
    PERFORM source.guard_table(leaf, true);
    EXECUTE format('ALTER TABLE source.%I ATTACH PARTITION %s FOR VALUES IN (%s)', 'txn_source_' || control.period_suffix(l.period), leaf, l.load_id);
END $$;

-- The partitions that the open month and so many months after it still need. Books that nobody closed yet begin with the first
-- month that something was delivered for, or with the present one.
CREATE FUNCTION control.missing_partitions(ahead integer) RETURNS TABLE (period text, partition text) LANGUAGE sql STABLE AS $$
    SELECT m.period, r.root || '_' || control.period_suffix(m.period)
    FROM (SELECT coalesce(control.months_later(control.newest_closed(), 1), (SELECT min(l.period) FROM source.load l),
                          to_char(now(), 'YYYY-MM')) AS month) AS open
    CROSS JOIN generate_series(0, ahead) AS n
    CROSS JOIN LATERAL (SELECT control.months_later(open.month, n) AS period) AS m
    CROSS JOIN unnest(ARRAY['source.txn_source', 'ledger.je_header', 'ledger.je_line']) AS r (root)
    WHERE to_regclass(r.root || '_' || control.period_suffix(m.period)) IS NULL
    ORDER BY m.period, r.root
$$;

-- Makes what a month lacks, and says what it was. Whoever makes the same just now is left to it, and nobody is kept waiting:
-- attaching locks a root only against others who attach, and gives up after a second.
CREATE FUNCTION control.make_partitions(the_period text, performed_by text) RETURNS SETOF text
LANGUAGE plpgsql SET lock_timeout = '1s' AS $$
DECLARE
    missing text[];
BEGIN
    IF NOT pg_try_advisory_xact_lock(control.month_partitions_key(the_period)) THEN
        RETURN;
    END IF;
    missing := ARRAY(SELECT root || '_' || control.period_suffix(the_period)
                     FROM unnest(ARRAY['source.txn_source', 'ledger.je_header', 'ledger.je_line']) AS root
                     WHERE to_regclass(root || '_' || control.period_suffix(the_period)) IS NULL);
    IF missing = '{}' THEN
        RETURN;
    END IF;
    PERFORM source.open_period(the_period), ledger.open_period(the_period);
    INSERT INTO audit.batch_operation (period, operation, performed_by, outcome, details)
    VALUES (the_period, 'ROTATE_PARTITIONS', make_partitions.performed_by, 'SUCCESS', jsonb_build_object('partitions', to_jsonb(missing)));
    RETURN QUERY SELECT unnest(missing);
END $$;

-- ---------------------------------------------------------------------------------------------------- what is archived

CREATE TABLE control.archive (
    archive_id      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    period          control.period_key NOT NULL REFERENCES control.period,
    layer           text        NOT NULL CHECK (layer IN ('LEDGER', 'SOURCE')),
    directory       text        NOT NULL UNIQUE,
    manifest_sha256 text        NOT NULL CHECK (manifest_sha256 ~ '^[0-9a-f]{64}$'),
    archived_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    archived_by     text        NOT NULL,
    restored_at     timestamptz,
    restored_by     text,
    CONSTRAINT a_restore_says_when_and_by_whom CHECK ((restored_at IS NULL) = (restored_by IS NULL))
);
COMMENT ON TABLE control.archive IS 'Months whose rows lie in files instead of the database: LEDGER = entries, SOURCE = the transactions of loads. One that was restored keeps its record.';
COMMENT ON COLUMN control.archive.directory IS 'Below LEDGER_ARCHIVE; its MANIFEST.json lists the files.';
CREATE UNIQUE INDEX one_archive_of_a_month ON control.archive (period) WHERE layer = 'LEDGER' AND restored_at IS NULL;
CREATE INDEX ON control.archive (period);

CREATE TABLE control.archived_file (
    archive_id    integer NOT NULL REFERENCES control.archive,
    file_name     text    NOT NULL,
    content       text    NOT NULL CHECK (content IN ('headers', 'lines', 'transactions')),
    batch_id      text,
    worker_number integer,
    load_id       integer REFERENCES source.load,
    leaf_name     text    NOT NULL,
    row_count     bigint  NOT NULL CHECK (row_count >= 0),
    byte_count    bigint  NOT NULL CHECK (byte_count > 0),
    sha256        text    NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    PRIMARY KEY (archive_id, file_name),
    FOREIGN KEY (batch_id, worker_number) REFERENCES control.batch_worker,
    CONSTRAINT it_is_of_a_worker_or_of_a_load
        CHECK ((content = 'transactions') = (load_id IS NOT NULL) AND (load_id IS NULL) = (worker_number IS NOT NULL AND batch_id IS NOT NULL))
);
COMMENT ON TABLE control.archived_file IS 'A Parquet file of an archive: the leaf whose rows it holds, how many, and its SHA-256.';
CREATE INDEX ON control.archived_file (load_id);
CREATE INDEX ON control.archived_file (batch_id, worker_number);

CREATE FUNCTION control.refuse_archive_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.restored_at IS NOT NULL
       OR to_jsonb(OLD) - '{restored_at,restored_by}'::text[] <> to_jsonb(NEW) - '{restored_at,restored_by}'::text[] THEN
        RAISE EXCEPTION 'UPDATE on control.archive is refused: a record of an archive never changes'
            USING ERRCODE = 'insufficient_privilege', HINT = 'It can only be stamped as restored.';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER only_restored BEFORE UPDATE ON control.archive FOR EACH ROW EXECUTE FUNCTION control.refuse_archive_change();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON control.archive FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON control.archived_file FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();

CREATE VIEW control.standing_archive AS
SELECT a.archive_id, a.period, a.layer, a.directory, a.manifest_sha256, f.files, f.rows, f.bytes, a.archived_at, a.archived_by
FROM control.archive a
CROSS JOIN LATERAL (SELECT count(*) AS files, coalesce(sum(x.row_count), 0) AS rows, coalesce(sum(x.byte_count), 0) AS bytes
                    FROM control.archived_file x WHERE x.archive_id = a.archive_id) AS f
WHERE a.restored_at IS NULL;
COMMENT ON VIEW control.standing_archive IS 'What is not in the database now: the views of entries and transactions do not show it.';

CREATE FUNCTION control.is_archived(the_period text, the_layer text) RETURNS boolean LANGUAGE sql STABLE
    RETURN EXISTS (SELECT FROM control.archive a WHERE a.period = the_period AND a.layer = the_layer AND a.restored_at IS NULL);

-- ---------------------------------------------------------------------------------------------------- an archived month stays as it is

CREATE FUNCTION control.refuse_archived(what text, the_period text, the_layer text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%: the % of % are archived', what, CASE the_layer WHEN 'LEDGER' THEN 'entries' ELSE 'transactions' END, the_period
        USING ERRCODE = 'LA002', CONSTRAINT = 'not_archived',
              HINT = format('run ledger-assets restore %s%s first', the_period, CASE the_layer WHEN 'SOURCE' THEN ' --source' ELSE '' END);
END $$;

CREATE FUNCTION control.keep_archived_month() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status NOT IN ('CLOSED', 'LOCKED') AND control.is_archived(NEW.period, 'LEDGER') THEN
        PERFORM control.refuse_archived(NEW.period, NEW.period, 'LEDGER');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_archived_month BEFORE UPDATE OF status ON control.period FOR EACH ROW EXECUTE FUNCTION control.keep_archived_month();

-- Rollback, reversal and late batch, through whatever function they come.
CREATE FUNCTION control.keep_archived_batch() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    month text := NEW.period;
BEGIN
    IF TG_OP = 'INSERT' AND NEW.reverses_batch_id IS NOT NULL THEN
        SELECT o.period INTO month FROM control.batch o WHERE o.batch_id = NEW.reverses_batch_id;
    END IF;
    IF NEW.kind <> 'DRYRUN' AND control.is_archived(month, 'LEDGER') THEN
        PERFORM control.refuse_archived(coalesce(NEW.reverses_batch_id, NEW.batch_id), month, 'LEDGER');
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.state = 'ROLLED_BACK' THEN
        -- Its loads would wait to be posted again, without a row.
        SELECT min(a.period) INTO month
        FROM control.batch_load x JOIN control.archived_file f USING (load_id) JOIN control.archive a USING (archive_id)
        WHERE x.batch_id = NEW.batch_id AND a.restored_at IS NULL;
        IF month IS NOT NULL THEN
            PERFORM control.refuse_archived(NEW.batch_id, month, 'SOURCE');
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_archived_batch BEFORE INSERT OR UPDATE OF state ON control.batch FOR EACH ROW EXECUTE FUNCTION control.keep_archived_batch();

-- Measured now, it would be found empty: what was measured of it when it was posted is what its balances stand on.
CREATE FUNCTION control.keep_archived_totals() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    month text := (SELECT b.period FROM control.batch b WHERE b.batch_id = OLD.batch_id);
BEGIN
    IF control.is_archived(month, 'LEDGER') THEN
        PERFORM control.refuse_archived(OLD.batch_id, month, 'LEDGER');
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER keep_archived_totals BEFORE DELETE ON control.worker_measure FOR EACH ROW EXECUTE FUNCTION control.keep_archived_totals();

CREATE FUNCTION control.keep_archived_measure() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    month text;
BEGIN
    SELECT a.period INTO month FROM control.archived_file f JOIN control.archive a USING (archive_id)
    WHERE f.load_id = OLD.load_id AND a.restored_at IS NULL;
    IF FOUND THEN
        PERFORM control.refuse_archived('load ' || OLD.load_id, month, 'SOURCE');
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER keep_archived_measure BEFORE DELETE ON control.load_measure FOR EACH ROW EXECUTE FUNCTION control.keep_archived_measure();

-- Rows of a later file are compared with those of the loads before it. Without them a transaction that comes twice would be
-- booked twice. (A file that is loaded already is known by its SHA-256, and never comes here.)
CREATE FUNCTION source.keep_archived_loads() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF control.is_archived(NEW.period, 'SOURCE') THEN
        PERFORM control.refuse_archived(NEW.period, NEW.period, 'SOURCE');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_archived_loads BEFORE INSERT ON source.load FOR EACH ROW EXECUTE FUNCTION source.keep_archived_loads();

-- ---------------------------------------------------------------------------------------------------- what may be archived

-- The loads of a month that may go: posted, and both their month and that in which they were booked are closed and no
-- longer active. The newest closed month and those before it are active, active_months of them.
CREATE FUNCTION control.loads_to_archive(the_period text, active_months integer) RETURNS SETOF integer LANGUAGE sql STABLE AS $$
    SELECT l.load_id
    FROM source.load l
    JOIN control.load_batch p USING (load_id)
    JOIN control.batch b USING (batch_id)
    WHERE l.period = the_period AND l.status = 'LOADED' AND l.leaf IS NOT NULL AND b.state = 'COMMITTED'
      AND control.is_closed(l.period) AND control.is_closed(b.period)
      AND greatest(l.period, b.period) <= control.months_later(control.newest_closed(), -active_months)
    ORDER BY l.load_id
$$;

-- Why a month may not be archived; no row = it may. active_months = 0: it need not have aged.
CREATE FUNCTION control.archive_obstacles(the_period text, the_layer text, active_months integer)
RETURNS TABLE (rule text, problem text, fix text) LANGUAGE sql STABLE AS $$
    SELECT 'not_archived', format('%s: its entries are archived already', the_period), 'ledger-assets archives lists what is archived'
    WHERE the_layer = 'LEDGER' AND control.is_archived(the_period, 'LEDGER')
  UNION ALL
    SELECT 'month_closed', format('%s: only a closed month can be archived', the_period), format('run ledger-assets close %s first', the_period)
    WHERE NOT control.is_closed(the_period)
  UNION ALL
    SELECT 'no_longer_active', format('%s: it is one of the %s newest closed months, which stay', the_period, active_months),
           'wait, or archive it all the same with --early'
    WHERE control.is_closed(the_period) AND the_period COLLATE "C" > control.months_later(control.newest_closed(), -active_months)
  UNION ALL
    SELECT 'something_to_archive', format('%s: it has no %s in the database', the_period, CASE the_layer WHEN 'LEDGER' THEN 'entries'
               ELSE 'posted transactions that may go' END),
           'nothing is left to do, or its late transactions were booked in a month that is still active'
    WHERE CASE the_layer WHEN 'LEDGER' THEN NOT EXISTS (
                   SELECT FROM control.batch_worker w JOIN control.batch b USING (batch_id)
                   WHERE b.period = the_period AND b.state = 'COMMITTED' AND w.line_leaf IS NOT NULL)
               ELSE NOT EXISTS (SELECT FROM control.loads_to_archive(the_period, active_months)) END
  UNION ALL
    SELECT 'certified', format('%s: its close has no certificate', the_period), 'materialize close_report of the month'
    WHERE the_layer = 'LEDGER' AND control.is_closed(the_period) AND NOT EXISTS (
        SELECT FROM ledger.close_certificate c WHERE (c.period, c.close_number) = (the_period, ledger.close_number(the_period)))
  UNION ALL
    SELECT 'sealed', format('%s: %s was posted before the books had seals, so its file could not be proven', the_period, min(b.batch_id)),
           'it stays in the database'
    FROM control.batch b
    WHERE the_layer = 'LEDGER' AND b.period = the_period AND b.state = 'COMMITTED'
      AND NOT EXISTS (SELECT FROM ledger.batch_seal s WHERE s.batch_id = b.batch_id)
    HAVING count(*) > 0
  UNION ALL
    SELECT 'no_open_batch', format('%s: %s is not finished', the_period, min(b.batch_id)),
           format('run ledger-assets close %s again, or give it up with ledger-assets abort %s', the_period, min(b.batch_id))
    FROM control.batch b
    WHERE the_layer = 'LEDGER' AND b.period = the_period AND b.kind <> 'DRYRUN' AND b.state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK')
    HAVING count(*) > 0
  UNION ALL
    SELECT 'not_being_reversed', format('%s: %s is about to reverse entries of it', the_period, min(r.batch_id)),
           format('let it finish, or give it up with ledger-assets abort %s', min(r.batch_id))
    FROM control.batch b JOIN control.batch r ON r.reverses_batch_id = b.batch_id
    WHERE the_layer = 'LEDGER' AND b.period = the_period AND r.state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK')
    HAVING count(*) > 0
$$;

-- Months that have aged and may go. Who restored one wants to work with it: it is left alone for thirty days.
CREATE FUNCTION control.months_due(the_layer text, active_months integer) RETURNS SETOF text LANGUAGE sql STABLE AS $$
    SELECT p.period FROM control.period p
    WHERE NOT EXISTS (SELECT FROM control.archive_obstacles(p.period, the_layer, active_months)
                      WHERE rule IN ('not_archived', 'month_closed', 'no_longer_active', 'something_to_archive'))
      AND NOT EXISTS (SELECT FROM control.archive a WHERE a.period = p.period AND a.layer = the_layer
                      AND a.restored_at > now() - interval '30 days')
    ORDER BY p.period
$$;

CREATE FUNCTION control.require_archivable(the_period text, the_layer text, active_months integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    obstacle record;
BEGIN
    FOR obstacle IN SELECT * FROM control.archive_obstacles(the_period, the_layer, active_months) LOOP
        RAISE EXCEPTION '%', obstacle.problem USING ERRCODE = 'LA002', CONSTRAINT = obstacle.rule, HINT = obstacle.fix;
    END LOOP;
END $$;

CREATE FUNCTION control.record_archive(the_period text, the_layer text, the_directory text, the_manifest_sha256 text, files jsonb,
                                       performed_by text)
RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    the_archive integer;
BEGIN
    INSERT INTO control.archive (period, layer, directory, manifest_sha256, archived_by)
    VALUES (the_period, the_layer, the_directory, the_manifest_sha256, performed_by) RETURNING archive_id INTO the_archive;
    INSERT INTO control.archived_file (archive_id, file_name, content, batch_id, worker_number, load_id, leaf_name, row_count, byte_count, sha256)
    SELECT the_archive, f.file_name, f.content, f.batch_id, f.worker_number, f.load_id, c.relname, f.row_count, f.byte_count, f.sha256
    FROM jsonb_populate_recordset(NULL::control.archived_file, files) AS f
    LEFT JOIN control.batch_worker w ON w.batch_id = f.batch_id AND w.worker_number = f.worker_number
    LEFT JOIN source.load l ON l.load_id = f.load_id
    JOIN pg_class c ON c.oid = CASE f.content WHEN 'headers' THEN w.header_leaf WHEN 'lines' THEN w.line_leaf ELSE l.leaf END;
    INSERT INTO audit.batch_operation (period, operation, performed_by, outcome, details)
    SELECT the_period, 'ARCHIVE_' || the_layer, record_archive.performed_by, 'SUCCESS',
           jsonb_build_object('directory', the_directory, 'files', count(*), 'rows', coalesce(sum(row_count), 0),
                              'manifest_sha256', the_manifest_sha256)
    FROM control.archived_file WHERE archive_id = the_archive;
    RETURN the_archive;
END $$;

-- ---------------------------------------------------------------------------------------------------- the ledger to files

-- Takes the leaves of a month out of the ledger, in the caller's transaction, when his files hold the rows of each of them; that they
-- hold the right ones he has proven against the seals. What the balances, seals and certificates stand on stays.
CREATE FUNCTION ledger.take_to_archive(the_period text, the_directory text, manifest_sha256 text, files jsonb, active_months integer,
                                       performed_by text)
RETURNS integer LANGUAGE plpgsql SET lock_timeout = '10s' AS $$
DECLARE
    the_archive integer;
    odd         text;
    w           record;
BEGIN
    PERFORM control.require_read_committed();
    PERFORM FROM control.period p WHERE p.period = the_period FOR UPDATE;
    PERFORM FROM control.batch b WHERE b.period = the_period AND b.state = 'COMMITTED' ORDER BY b.batch_id FOR UPDATE;
    PERFORM control.require_archivable(the_period, 'LEDGER', active_months);
    SELECT format('%s, worker %s', coalesce(x.batch_id, f.batch_id), coalesce(x.worker_number, f.worker_number)) INTO odd
    FROM (SELECT y.batch_id, y.worker_number, c.content, c.row_count
          FROM control.batch_worker y JOIN control.batch b USING (batch_id),
               LATERAL (VALUES ('headers', y.entry_count), ('lines', y.line_count)) AS c (content, row_count)
          WHERE b.period = the_period AND b.state = 'COMMITTED' AND y.line_leaf IS NOT NULL) AS x
    FULL JOIN jsonb_populate_recordset(NULL::control.archived_file, files) AS f USING (batch_id, worker_number, content)
    WHERE x.row_count IS DISTINCT FROM f.row_count LIMIT 1;
    IF odd IS NOT NULL THEN
        RAISE EXCEPTION '%: the files are not those of the rows that the month has now (%)', the_period, odd
            USING ERRCODE = 'LA002', HINT = 'archive it again; somebody posted or rolled back meanwhile';
    END IF;
    the_archive := control.record_archive(the_period, 'LEDGER', the_directory, manifest_sha256, files, performed_by);
    FOR w IN SELECT x.batch_id, x.worker_number, x.header_leaf, x.line_leaf FROM control.batch_worker x JOIN control.batch b USING (batch_id)
             WHERE b.period = the_period AND b.state = 'COMMITTED' AND x.line_leaf IS NOT NULL ORDER BY x.batch_id, x.worker_number LOOP
        EXECUTE format('ALTER TABLE ledger.%I DETACH PARTITION %s', 'je_header_' || control.period_suffix(the_period), w.header_leaf);
        EXECUTE format('ALTER TABLE ledger.%I DETACH PARTITION %s', 'je_line_' || control.period_suffix(the_period), w.line_leaf);
        EXECUTE format('DROP TABLE %s, %s', w.header_leaf, w.line_leaf);
        UPDATE control.batch_worker SET header_leaf = NULL, line_leaf = NULL WHERE batch_id = w.batch_id AND worker_number = w.worker_number;
    END LOOP;
    RETURN the_archive;
END $$;

-- ---------------------------------------------------------------------------------------------------- and back

-- Holds the month for the restore, which is one transaction. Not for anything that stands already.
CREATE FUNCTION control.begin_restore(the_archive integer) RETURNS void LANGUAGE plpgsql SET lock_timeout = '10s' AS $$
DECLARE
    a control.archive;
BEGIN
    PERFORM control.require_read_committed();
    SELECT * INTO a FROM control.archive WHERE archive_id = the_archive;
    IF a.layer = 'LEDGER' THEN
        PERFORM FROM control.period p WHERE p.period = a.period FOR UPDATE;
    ELSE
        PERFORM source.lock_period(a.period);
    END IF;
    SELECT * INTO a FROM control.archive WHERE archive_id = the_archive FOR UPDATE;
    IF a.archive_id IS NULL OR a.restored_at IS NOT NULL THEN
        RAISE EXCEPTION 'archive %: there is none that could be restored', the_archive
            USING ERRCODE = 'LA002', HINT = 'ledger-assets archives lists what is archived';
    END IF;
END $$;

CREATE FUNCTION control.archived_leaf(the_archive integer, the_batch text, the_worker integer, the_content text) RETURNS text LANGUAGE sql STABLE
    RETURN (SELECT format('ledger.%I', f.leaf_name) FROM control.archived_file f JOIN control.archive a USING (archive_id)
            WHERE f.archive_id = the_archive AND a.restored_at IS NULL AND f.batch_id = the_batch AND f.worker_number = the_worker
              AND f.content = the_content);

-- Two empty tables like those that the worker once wrote, to be filled and finished in the same transaction.
CREATE FUNCTION ledger.create_restored_leaves(the_archive integer, the_batch text, the_worker integer, OUT header_leaf text, OUT line_leaf text)
LANGUAGE plpgsql AS $$
DECLARE
    w    control.batch_worker;
    b    control.batch;
    leaf text;
BEGIN
    header_leaf := control.archived_leaf(the_archive, the_batch, the_worker, 'headers');
    line_leaf := control.archived_leaf(the_archive, the_batch, the_worker, 'lines');
    SELECT * INTO STRICT b FROM control.batch WHERE batch_id = the_batch;
    SELECT * INTO STRICT w FROM control.batch_worker x WHERE x.batch_id = the_batch AND x.worker_number = the_worker;
    EXECUTE format('CREATE TABLE %s (LIKE staging.je_header, CHECK (period = %L), CHECK (je_number >= %s AND je_number <= %s), '
                   'CHECK (total_amount > 0))', header_leaf, b.period, w.first_je_number, w.last_je_number);
    EXECUTE format('CREATE TABLE %s (LIKE staging.je_line, CHECK (period = %L), CHECK (je_number >= %s AND je_number <= %s), '
                   'CHECK (amount <> 0))', line_leaf, b.period, w.first_je_number, w.last_je_number);
    FOREACH leaf IN ARRAY ARRAY[header_leaf, line_leaf] LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN period SET DEFAULT %L', leaf, b.period);
        EXECUTE format('GRANT INSERT ON %s TO batch_admin', leaf);
    END LOOP;
END $$;

-- Their keys and guards, and their place in the ledger; not unless they add up to what was measured when the batch was posted.
CREATE FUNCTION ledger.finish_restored_leaves(the_archive integer, the_batch text, the_worker integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    headers text := control.archived_leaf(the_archive, the_batch, the_worker, 'headers');
    lines   text := control.archived_leaf(the_archive, the_batch, the_worker, 'lines');
    w       control.batch_worker;
    b       control.batch;
    totals  control.line_totals;
    entries bigint;
BEGIN
    SELECT * INTO STRICT b FROM control.batch WHERE batch_id = the_batch;
    SELECT * INTO STRICT w FROM control.batch_worker x WHERE x.batch_id = the_batch AND x.worker_number = the_worker;
    EXECUTE format('ALTER TABLE %s ADD PRIMARY KEY (je_number)', headers);
    EXECUTE format('ALTER TABLE %s ADD PRIMARY KEY (je_number, line_number)', lines);
    EXECUTE format('SELECT count(*) FROM %s', headers) INTO entries;
    BEGIN
        totals := control.add_up_lines(the_batch, the_worker, lines::regclass, wide => false);
    EXCEPTION WHEN numeric_value_out_of_range THEN
        totals := control.add_up_lines(the_batch, the_worker, lines::regclass, wide => true);
    END;
    IF entries <> w.entry_count
       OR (totals.entries_hash IS DISTINCT FROM control.hash_of_headers(headers::regclass)
           AND control.header_line_mismatches(headers::regclass, lines::regclass) > 0)
       OR EXISTS (SELECT FROM unnest(totals.accounts) AS n
                  FULL JOIN (SELECT * FROM control.worker_measure_account m WHERE m.batch_id = the_batch AND m.worker_number = the_worker) AS m
                         USING (account_id)
                  WHERE (n.line_count, n.debit_total, n.credit_total) IS DISTINCT FROM (m.line_count, m.debit_total, m.credit_total)) THEN
        RAISE EXCEPTION '%, worker %: the files do not add up to what was posted', the_batch, the_worker
            USING ERRCODE = 'LA003', CONSTRAINT = 'restored_as_posted', HINT = 'nothing was restored; run ledger-assets verify, which names the file';
    END IF;
    PERFORM control.guard_table(headers::regclass, true), control.guard_table(lines::regclass, true);
    EXECUTE format('REVOKE INSERT ON %s, %s FROM batch_admin', headers, lines);
    PERFORM ledger.open_period(b.period);
    EXECUTE format('ALTER TABLE ledger.%I ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)',
                   'je_header_' || control.period_suffix(b.period), headers, w.first_je_number, w.last_je_number + 1);
    EXECUTE format('ALTER TABLE ledger.%I ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)',
                   'je_line_' || control.period_suffix(b.period), lines, w.first_je_number, w.last_je_number + 1);
    UPDATE control.batch_worker x SET header_leaf = headers::regclass, line_leaf = lines::regclass
    WHERE x.batch_id = the_batch AND x.worker_number = the_worker;
END $$;

CREATE FUNCTION control.end_restore(the_archive integer, performed_by text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    a       control.archive;
    missing text;
BEGIN
    SELECT * INTO STRICT a FROM control.archive WHERE archive_id = the_archive FOR UPDATE;
    SELECT min(f.file_name) INTO missing FROM control.archived_file f
    LEFT JOIN control.batch_worker w USING (batch_id, worker_number)
    LEFT JOIN source.load l ON l.load_id = f.load_id
    WHERE f.archive_id = the_archive
      AND NOT control.is_there(CASE f.content WHEN 'headers' THEN w.header_leaf WHEN 'lines' THEN w.line_leaf ELSE l.leaf END);
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION '%: % was not restored', a.period, missing USING ERRCODE = 'LA002', HINT = 'restore the month again';
    END IF;
    UPDATE control.archive SET restored_at = clock_timestamp(), restored_by = performed_by WHERE archive_id = the_archive;
    INSERT INTO audit.batch_operation (period, operation, performed_by, outcome, details)
    VALUES (a.period, 'RESTORE_' || a.layer, performed_by, 'SUCCESS',
            jsonb_build_object('directory', a.directory, 'manifest_sha256', a.manifest_sha256));
END $$;

-- ---------------------------------------------------------------------------------------------------- the source to files, and back

-- A table for the rows of a load: empty, with its checks. The two that name period and load say what the partition says, so
-- ATTACH reads no row.
CREATE FUNCTION source.make_leaf(l source.load, leaf text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    day date := to_date(l.period, 'YYYY-MM');
BEGIN
    EXECUTE format('CREATE TABLE %s (LIKE source.txn_source INCLUDING CONSTRAINTS, '
                   'CONSTRAINT is_of_the_period CHECK (period = %L), CONSTRAINT is_of_the_load CHECK (load_id = %s), '
                   'CONSTRAINT has_its_value_date_in_the_period CHECK (bank_value_date >= %L::date AND bank_value_date < %L::date))',
                   leaf, l.period, l.load_id, day, (day + interval '1 month')::date);
    EXECUTE format('ALTER TABLE %s ALTER period SET DEFAULT %L, ALTER load_id SET DEFAULT %s', leaf, l.period, l.load_id);
END $$;

CREATE OR REPLACE FUNCTION source.create_leaf(the_load integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    l    source.load := source.require_open_load(the_load);
    leaf text := format('source.%I', source.leaf_name(l.period, the_load));
BEGIN
    PERFORM source.make_leaf(l, leaf);
    RETURN leaf;
END $$;

-- Where the rows of a file are put to be measured (before the load is dropped), or to stay (when it is restored).
CREATE FUNCTION source.create_archived_leaf(the_load integer, to_stay boolean) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    l    source.load;
    leaf text;
BEGIN
    SELECT * INTO STRICT l FROM source.load WHERE load_id = the_load;
    leaf := format('source.%I', CASE WHEN to_stay THEN source.leaf_name(l.period, the_load) ELSE 'archived_load_' || the_load END);
    PERFORM source.make_leaf(l, leaf);
    EXECUTE format('GRANT INSERT ON %s TO batch_admin', leaf);
    EXECUTE format('REVOKE INSERT ON %s FROM ledger_engine', leaf);
    RETURN leaf;
END $$;

-- The rows are those that were loaded: same number, same checksum, same totals by type.
CREATE FUNCTION source.require_as_loaded(the_load integer, leaf text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    l        source.load;
    found    record;
BEGIN
    SELECT * INTO STRICT l FROM source.load WHERE load_id = the_load;
    EXECUTE format($q$
        SELECT coalesce(sum(n), 0) AS n, coalesce(sum(checksum), 0) AS checksum,
               array_agg(ROW(%2$s, txn_type, n, gross, tabarru, tanahud, ujroh)::source.load_total) AS totals
        FROM (SELECT txn_type, count(*) AS n, sum(gross_amount) AS gross, sum(tabarru_amount) AS tabarru,
                     sum(tanahud_amount) AS tanahud, sum(ujroh_amount) AS ujroh,
                     sum(source.txn_hash(ROW(txn.*)::source.txn_source)) AS checksum
              FROM %1$s AS txn GROUP BY txn_type) AS by_type $q$, leaf, the_load) INTO found;
    IF (found.n, found.checksum) IS DISTINCT FROM (l.accepted_count::numeric, l.checksum)
       OR EXISTS (SELECT FROM unnest(found.totals::source.load_total[]) AS n
                  FULL JOIN (SELECT * FROM source.load_total t WHERE t.load_id = the_load) AS t USING (txn_type)
                  WHERE (n.row_count, n.gross_total, n.tabarru_total, n.tanahud_total, n.ujroh_total)
                        IS DISTINCT FROM (t.row_count, t.gross_total, t.tabarru_total, t.tanahud_total, t.ujroh_total)) THEN
        RAISE EXCEPTION 'load %: its file holds % rows with checksum %, % with % were loaded', the_load, found.n, found.checksum,
            l.accepted_count, l.checksum
            USING ERRCODE = 'LA003', CONSTRAINT = 'archived_as_loaded', HINT = 'nothing was changed; archive it again, or find out who altered the file';
    END IF;
END $$;

-- Drops the leaves of the loads whose files were put into tables of their own in this transaction (source.create_archived_leaf),
-- and are measured there: what the file gives back is what was loaded.
CREATE FUNCTION source.take_to_archive(the_period text, the_directory text, manifest_sha256 text, files jsonb, active_months integer,
                                       performed_by text)
RETURNS integer LANGUAGE plpgsql SET lock_timeout = '10s' AS $$
DECLARE
    the_archive integer;
    f           record;
    month       text := format('source.%I', 'txn_source_' || control.period_suffix(the_period));
BEGIN
    PERFORM control.require_read_committed();
    PERFORM control.require_archivable(the_period, 'SOURCE', active_months);
    FOR f IN SELECT x.load_id FROM jsonb_populate_recordset(NULL::control.archived_file, files) AS x ORDER BY x.load_id LOOP
        PERFORM source.require_as_loaded(f.load_id, format('source.%I', 'archived_load_' || f.load_id));
        EXECUTE format('DROP TABLE source.%I', 'archived_load_' || f.load_id);
    END LOOP;
    -- Who rolls back or reopens holds these months until he has committed; newest first, as he takes them. A batch that he takes out
    -- meanwhile would leave its loads to be posted again, without a row.
    PERFORM FROM control.period p
    WHERE p.period = the_period
       OR p.period IN (SELECT b.period FROM jsonb_populate_recordset(NULL::control.archived_file, files) AS x
                       JOIN control.load_batch USING (load_id) JOIN control.batch b ON b.batch_id = load_batch.batch_id)
    ORDER BY p.period DESC FOR SHARE;
    PERFORM source.lock_period(the_period);
    -- The month before its leaves, as every query locks them.
    EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', month);
    PERFORM FROM source.load l WHERE l.load_id IN (SELECT x.load_id FROM jsonb_populate_recordset(NULL::control.archived_file, files) AS x)
    ORDER BY l.load_id FOR UPDATE;
    SELECT x.load_id INTO f FROM jsonb_populate_recordset(NULL::control.archived_file, files) AS x
    WHERE x.load_id NOT IN (SELECT control.loads_to_archive(the_period, active_months)) ORDER BY 1 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'load %: it is no load of % that may be archived', f.load_id, the_period
            USING ERRCODE = 'LA002', HINT = 'archive the month again; somebody rolled back or reopened meanwhile';
    END IF;
    the_archive := control.record_archive(the_period, 'SOURCE', the_directory, manifest_sha256, files, performed_by);
    FOR f IN SELECT l.load_id, l.leaf FROM source.load l JOIN control.archived_file x USING (load_id)
             WHERE x.archive_id = the_archive ORDER BY l.load_id LOOP
        EXECUTE format('DROP TABLE %s', f.leaf);  -- which detaches it
        UPDATE source.load SET leaf = NULL WHERE load_id = f.load_id;
    END LOOP;
    RETURN the_archive;
END $$;

CREATE FUNCTION source.finish_archived_leaf(the_archive integer, the_load integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    l    source.load;
    the_leaf text;
BEGIN
    SELECT x.* INTO STRICT l FROM source.load x JOIN control.archived_file f USING (load_id) JOIN control.archive a USING (archive_id)
    WHERE a.archive_id = the_archive AND a.restored_at IS NULL AND x.load_id = the_load;
    the_leaf := format('source.%I', source.leaf_name(l.period, the_load));
    PERFORM source.require_as_loaded(the_load, the_leaf);
    PERFORM source.index_leaf(the_leaf::regclass);
    EXECUTE format('REVOKE INSERT ON %s FROM batch_admin', the_leaf);
    PERFORM source.attach_leaf(l, the_leaf::regclass);
    UPDATE source.load x SET leaf = the_leaf::regclass WHERE x.load_id = the_load;
END $$;
