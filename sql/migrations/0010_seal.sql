-- The seal of a posted batch, and the chain of seals (docs/seal.md says exactly what is hashed).
--
-- Whoever can switch triggers off can change every row here too; what he cannot do is make rows, block hashes, roots and
-- chain agree again without rewriting the chain from there on, and that is visible to anybody who kept a link of it.

-- What workers hashed while they wrote. Goes with the worker when the batch is staged again; never changes once sealed.
CREATE TABLE control.worker_seal (
    batch_id        text     NOT NULL,
    worker_number   integer  NOT NULL,
    seal_version    smallint NOT NULL,
    dictionary_hash bytea    NOT NULL CHECK (length(dictionary_hash) = 32),
    first_je_number integer,
    entry_count     bigint   NOT NULL,
    line_count      bigint   NOT NULL,
    block_hashes    bytea[]  NOT NULL,
    root            bytea    NOT NULL CHECK (length(root) = 32),
    PRIMARY KEY (batch_id, worker_number),
    FOREIGN KEY (batch_id, worker_number) REFERENCES control.batch_worker ON DELETE CASCADE
);
COMMENT ON TABLE control.worker_seal IS 'The hash of each block of 256 entries that a worker wrote, and the root of the tree over them.';

CREATE TABLE ledger.seal_dictionary (
    dictionary_hash bytea PRIMARY KEY CHECK (length(dictionary_hash) = 32),
    content         text  NOT NULL
);
COMMENT ON TABLE ledger.seal_dictionary IS 'The accounts and templates that sealed rows name by position, one JSON array a line; batches of an unchanged chart share one.';

CREATE TABLE ledger.batch_seal (
    batch_id        text     PRIMARY KEY REFERENCES control.batch,
    seal_version    smallint NOT NULL,
    dictionary_hash bytea    NOT NULL REFERENCES ledger.seal_dictionary,
    header          text     NOT NULL,
    root            bytea    NOT NULL CHECK (length(root) = 32)
);
COMMENT ON COLUMN ledger.batch_seal.header IS 'What the batch is, as text; its SHA-256 is the root, and its last line is the root of the tree over the workers.';

CREATE TABLE ledger.seal_chain (
    position      bigint PRIMARY KEY CHECK (position > 0),
    event         text   NOT NULL CHECK (event IN ('POSTED', 'ROLLED_BACK')),
    batch_id      text   NOT NULL REFERENCES control.batch,
    root          bytea  NOT NULL CHECK (length(root) = 32),
    previous_hash bytea  NOT NULL CHECK (length(previous_hash) = 32),
    hash          bytea  NOT NULL CHECK (length(hash) = 32),
    UNIQUE (batch_id, event)
);
COMMENT ON TABLE ledger.seal_chain IS 'What was posted and rolled back, in that order; each link holds the hash of the one before.';

-- Nobody can prove afterwards what they were when they were posted.
CREATE TABLE ledger.batch_before_seals (batch_id text PRIMARY KEY REFERENCES control.batch);
INSERT INTO ledger.batch_before_seals SELECT batch_id FROM control.batch WHERE state IN ('COMMITTED', 'ROLLED_BACK');
COMMENT ON TABLE ledger.batch_before_seals IS 'Batches posted before the books had seals; verification says that it could not prove them.';

-- ---------------------------------------------------------------------------------------------------- guards

CREATE FUNCTION ledger.refuse_seal_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on %.% is refused: seals never change', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege', HINT = 'Correct the books by a new entry, or roll the batch back.';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.seal_dictionary
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_seal_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.batch_seal
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_seal_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.seal_chain
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_seal_change();
CREATE TRIGGER append_only BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ledger.batch_before_seals
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_seal_change();

CREATE FUNCTION control.refuse_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' OR EXISTS (SELECT FROM ledger.batch_seal s WHERE s.batch_id = OLD.batch_id) THEN
        RAISE EXCEPTION '% on %.% is refused: the blocks of batch % never change', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME, OLD.batch_id
            USING ERRCODE = 'insufficient_privilege', HINT = 'Stage the period again, or roll the batch back.';
    END IF;
    RETURN OLD;
END $$;

CREATE TRIGGER refuse_sealed BEFORE UPDATE OR DELETE ON control.worker_seal FOR EACH ROW EXECUTE FUNCTION control.refuse_sealed();
CREATE TRIGGER append_only BEFORE TRUNCATE ON control.worker_seal FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_seal_change();

-- ---------------------------------------------------------------------------------------------------- what is hashed

-- The accounts of the books and the templates that a batch may name, in the order in which sealed rows count them. Without
-- database ids: those skip values, and a seal has to be the same in every database that holds the same books.
CREATE FUNCTION ledger.dictionary_entries(the_batch text)
RETURNS TABLE (entry_number bigint, what text, id smallint, entry text) LANGUAGE sql STABLE AS $$
    WITH entries AS (
        SELECT 1 AS part, row_number() OVER (ORDER BY a.account_code COLLATE "C") AS place, 'account' AS what, a.account_id AS id,
               json_build_array('account', a.account_code, a.fund, a.account_type)::text AS entry
        FROM acct.chart_of_accounts a
      UNION ALL
        SELECT 2, row_number() OVER (ORDER BY t.rule_set COLLATE "C", t.rule_version, t.template_code COLLATE "C", t.version),
               'template', t.template_id,
               json_build_array('template', t.rule_set, t.rule_version, t.template_code, t.version, t.source_type, t.description)::text
        FROM control.batch b
        JOIN acct.rule_set r ON (r.rule_set, r.version) = (b.rule_set, b.rule_version)
                             -- Entries that are derived from others may name templates of any version that ever posted.
                             OR (b.kind NOT IN ('MONTHEND', 'DRYRUN') AND r.approved_at IS NOT NULL)
        JOIN acct.journal_template t ON (t.rule_set, t.rule_version) = (r.rule_set, r.version)
        WHERE b.batch_id = the_batch)
    SELECT row_number() OVER (ORDER BY part, place), what, id, entry FROM entries ORDER BY part, place
$$;

CREATE FUNCTION ledger.dictionary_text(the_batch text) RETURNS text LANGUAGE sql STABLE
    RETURN (SELECT coalesce(string_agg(entry, E'\n' ORDER BY entry_number), '') FROM ledger.dictionary_entries(the_batch));

-- The Merkle tree of RFC 9162, from the hashes of its leaves. Pairing level by level, with an odd last one carried up, is the
-- same tree as splitting at the largest power of two.
CREATE FUNCTION ledger.merkle_root(leaf_hashes bytea[]) RETURNS bytea LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    level bytea[] := leaf_hashes;
BEGIN
    IF cardinality(level) = 0 THEN
        RETURN sha256(''::bytea);
    END IF;
    WHILE cardinality(level) > 1 LOOP
        SELECT array_agg(node ORDER BY pair) INTO level
        FROM (SELECT (n - 1) / 2 AS pair,
                     CASE count(*) WHEN 2 THEN sha256('\x01'::bytea || string_agg(hash, ''::bytea ORDER BY n))
                                   ELSE string_agg(hash, ''::bytea) END AS node
              FROM unnest(level) WITH ORDINALITY AS one (hash, n) GROUP BY 1) AS pairs;
    END LOOP;
    RETURN level[1];
END $$;

-- Everything that a batch claims about itself and that is the same in a run without disturbances: no clock, no user, no run.
CREATE FUNCTION ledger.seal_header(the_batch text, the_version smallint, dictionary_hash bytea) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT format(E'ledger-assets seal %s\nbatch %s\nperiod %s\nkind %s\nreverses %s\nrules %s %s %s\nnumbers %s\nentries %s\nlines %s\n'
                  'source %s\ndictionary %s\nworkers %s\nrows %s\n',
                  the_version, b.batch_id, b.period, b.kind, coalesce(b.reverses_batch_id, '-'),
                  to_json(b.rule_set), b.rule_version, r.content_hash,
                  CASE WHEN b.last_je_number IS NULL THEN '-' ELSE format('%s %s', b.first_je_number, b.last_je_number) END,
                  b.entry_count, b.line_count, trim_scale(b.source_checksum), encode(seal_header.dictionary_hash, 'hex'),
                  (SELECT count(*) FROM control.worker_seal w WHERE w.batch_id = the_batch),
                  encode(ledger.merkle_root(ARRAY(SELECT sha256('\x00'::bytea || w.root) FROM control.worker_seal w
                                                  WHERE w.batch_id = the_batch ORDER BY w.worker_number)), 'hex'))
    FROM control.batch b JOIN acct.rule_set r ON (r.rule_set, r.version) = (b.rule_set, b.rule_version)
    WHERE b.batch_id = the_batch
$$;

-- ---------------------------------------------------------------------------------------------------- sealing

-- The next link. Takes the chain last of all locks; links are gapless because nobody else can be adding one.
CREATE FUNCTION ledger.append_to_chain(the_event text, the_batch text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    the_root      bytea;
    next_position bigint;
    previous      bytea;
BEGIN
    PERFORM control.require_read_committed();
    LOCK TABLE ledger.seal_chain IN EXCLUSIVE MODE;
    SELECT s.root INTO the_root FROM ledger.batch_seal s WHERE s.batch_id = the_batch;
    IF NOT FOUND THEN  -- it was posted before the books had seals: there is nothing that the chain could name
        RETURN NULL;
    END IF;
    SELECT c.position, c.hash INTO next_position, previous FROM ledger.seal_chain c ORDER BY c.position DESC LIMIT 1;
    next_position := coalesce(next_position, 0) + 1;
    previous := coalesce(previous, decode(repeat('00', 32), 'hex'));
    INSERT INTO ledger.seal_chain (position, event, batch_id, root, previous_hash, hash)
    VALUES (next_position, the_event, the_batch, the_root, previous, sha256(convert_to(
        format(E'ledger-assets chain 1\nposition %s\nevent %s\nbatch %s\nroot %s\nprevious %s\n', next_position, the_event, the_batch,
               encode(the_root, 'hex'), encode(previous, 'hex')), 'UTF8')));
    RETURN next_position;
END $$;

-- In the posting transaction, on the attached leaves. Its cost grows with the number of workers, not of rows.
CREATE OR REPLACE FUNCTION ledger.seal_batch(the_batch text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    unsealed        text;
    dictionary      text := ledger.dictionary_text(the_batch);
    the_dictionary  bytea := sha256(convert_to(dictionary, 'UTF8'));
    the_header      text;
    the_version     smallint := 1;
BEGIN
    SELECT string_agg(w.worker_number::text, ', ' ORDER BY w.worker_number) INTO unsealed
    FROM control.batch_worker w LEFT JOIN control.worker_seal s USING (batch_id, worker_number)
    WHERE w.batch_id = the_batch
      AND (s.batch_id IS NULL OR s.seal_version <> the_version
           OR (s.first_je_number, s.entry_count, s.line_count) IS DISTINCT FROM (w.first_je_number, w.entry_count, w.line_count)
           OR cardinality(s.block_hashes) <> (w.entry_count + 255) / 256);
    IF unsealed IS NOT NULL THEN
        RAISE EXCEPTION 'batch %: workers % have no seal of what they wrote', the_batch, unsealed
            USING ERRCODE = 'LA002', HINT = 'stage the period again';
    END IF;
    IF EXISTS (SELECT FROM control.worker_seal s WHERE s.batch_id = the_batch AND s.dictionary_hash <> the_dictionary) THEN
        RAISE EXCEPTION 'batch %: the chart or the templates changed since it was staged', the_batch
            USING ERRCODE = 'LA002', HINT = 'stage the period again';
    END IF;
    INSERT INTO ledger.seal_dictionary (dictionary_hash, content) VALUES (the_dictionary, dictionary) ON CONFLICT DO NOTHING;
    the_header := ledger.seal_header(the_batch, the_version, the_dictionary);
    INSERT INTO ledger.batch_seal (batch_id, seal_version, dictionary_hash, header, root)
    VALUES (the_batch, the_version, the_dictionary, the_header, sha256(convert_to(the_header, 'UTF8')));
    PERFORM ledger.append_to_chain('POSTED', the_batch);
END $$;

-- Keys, guards, the worker's record and its seal, in the same transaction as the rows: a worker is there completely or not at all.
DROP FUNCTION staging.finish_worker(text, integer, integer, bigint, integer, integer, bigint, text, text, timestamptz);
CREATE FUNCTION staging.finish_worker(the_batch text, the_attempt integer, the_worker integer, records bigint,
                                      first_number integer, last_number integer, lines bigint, header_leaf text, line_leaf text,
                                      started timestamptz, seal_version smallint, dictionary_hash bytea, block_hashes bytea[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM staging.require_attempt(the_batch, the_attempt);
    IF header_leaf IS NOT NULL THEN
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
