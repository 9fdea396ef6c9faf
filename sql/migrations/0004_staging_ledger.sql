-- The rows of journal entries (B3, B4): staged leaves, the ledger's roots, and the views that people read.
--
-- A line is 24 bytes of data (52 with PostgreSQL's row header and item pointer): one signed amount in minor units
-- (debit positive, never zero), the number of its entry, its place in the entry, its account (which names the fund) and
-- its period. Columns stand in the order that wastes no padding. The batch is the leaf that the row lies in.

-- Staged leaves inherit from these two; the parents themselves stay empty. Inheritance, not partitioning: leaving a
-- partitioned parent (DETACH) locks it against all readers, leaving an inheritance parent does not.
CREATE TABLE staging.je_header (
    total_amount bigint   NOT NULL,
    je_number    integer  NOT NULL,
    je_date      date     NOT NULL,
    template_id  smallint NOT NULL,
    source_entry smallint NOT NULL,
    period       text COLLATE "C" NOT NULL,
    source_id    text COLLATE "C" NOT NULL
);
COMMENT ON COLUMN staging.je_header.total_amount IS 'Sum of the debits, minor units; the gates compare it with the lines.';
COMMENT ON COLUMN staging.je_header.source_entry IS '1 for the first entry made from a transaction, 2 for the second …: entries with 1 count the transactions.';

CREATE TABLE staging.je_line (
    amount      bigint   NOT NULL,
    je_number   integer  NOT NULL,
    line_number smallint NOT NULL,
    account_id  smallint NOT NULL,
    period      text COLLATE "C" NOT NULL
);

CREATE TABLE ledger.je_header (LIKE staging.je_header) PARTITION BY LIST (period);
CREATE TABLE ledger.je_line   (LIKE staging.je_line)   PARTITION BY LIST (period);

CREATE FUNCTION control.guard_leaf() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    posted text;
BEGIN
    PERFORM control.require_read_committed();
    SELECT w.batch_id INTO posted FROM control.batch_worker w JOIN control.batch b USING (batch_id)
    WHERE (w.header_leaf = TG_RELID OR w.line_leaf = TG_RELID) AND b.state IN ('COMMITTED', 'ROLLED_BACK');
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

-- A change through the staging parent that had to wait for the posting still comes to the leaf (PostgreSQL looked up the
-- children before it waited), and fires only the parent's statement triggers, and the leaf's row triggers.
CREATE FUNCTION control.refuse_posted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_SCHEMA = 'ledger' THEN
        RAISE EXCEPTION '% on %.% is refused: posted entries never change', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Correct the books by a new entry, or roll the batch back.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;

CREATE FUNCTION control.guard_table(the_table regclass, is_leaf boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER guard AFTER INSERT OR UPDATE OR DELETE ON %s '
                   'FOR EACH STATEMENT EXECUTE FUNCTION control.guard_leaf()', the_table);
    EXECUTE format('CREATE TRIGGER guard_truncate BEFORE TRUNCATE ON %s '
                   'FOR EACH STATEMENT EXECUTE FUNCTION control.guard_leaf()', the_table);
    IF is_leaf THEN
        EXECUTE format('CREATE TRIGGER refuse_posted BEFORE INSERT OR UPDATE OR DELETE ON %s '
                       'FOR EACH ROW EXECUTE FUNCTION control.refuse_posted()', the_table);
    END IF;
END $$;

SELECT control.guard_table(t, false) FROM unnest(ARRAY[
    'staging.je_header', 'staging.je_line', 'ledger.je_header', 'ledger.je_line']::regclass[]) AS t;

-- The same for source rows: a change is noticed (unprocessed loads) or refused (processed ones). The triggers come after
-- the COPY, so loading pays nothing for them; only the row trigger knows the load when the change comes through a parent.
ALTER TABLE source.load ADD COLUMN content_version integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN source.load.content_version IS 'Counts the statements that changed the rows since they were loaded.';

CREATE FUNCTION source.note_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    posted text;
BEGIN
    PERFORM control.require_read_committed();
    IF TG_OP = 'TRUNCATE' THEN  -- which fires no row trigger
        SELECT p.batch_id INTO posted FROM control.load_batch p JOIN source.load l USING (load_id) WHERE l.leaf = TG_RELID;
        IF posted IS NOT NULL THEN
            RAISE EXCEPTION 'TRUNCATE on %.% is refused: batch % has journaled it', TG_TABLE_SCHEMA, TG_TABLE_NAME, posted
                USING ERRCODE = 'insufficient_privilege', HINT = 'Deliver a correcting transaction in an open period.';
        END IF;
    END IF;
    UPDATE source.load l SET content_version = content_version + 1
    WHERE l.leaf = TG_RELID
       OR (l.leaf IS NOT NULL AND TG_RELID = ANY (SELECT relid FROM pg_partition_ancestors(l.leaf)));
    RETURN NULL;
END $$;

CREATE FUNCTION source.refuse_processed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    the_load integer := CASE TG_OP WHEN 'INSERT' THEN NEW.load_id ELSE OLD.load_id END;
    posted   text := (SELECT batch_id FROM control.load_batch WHERE load_id = the_load);
BEGIN
    IF posted IS NOT NULL THEN
        RAISE EXCEPTION '% on load % is refused: batch % has journaled it', TG_OP, the_load, posted
            USING ERRCODE = 'insufficient_privilege', HINT = 'Deliver a correcting transaction in an open period.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;

CREATE FUNCTION source.guard_table(the_table regclass, is_leaf boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s '
                   'FOR EACH STATEMENT EXECUTE FUNCTION source.note_change()', the_table);
    IF is_leaf THEN
        EXECUTE format('CREATE TRIGGER refuse_processed BEFORE INSERT OR UPDATE OR DELETE ON %s '
                       'FOR EACH ROW EXECUTE FUNCTION source.refuse_processed()', the_table);
    END IF;
END $$;

SELECT source.guard_table('source.txn_source', false);

CREATE VIEW staging.je_header_staging AS
SELECT h.period, w.batch_id, h.je_number, h.je_date, t.template_code, t.version AS template_version, t.source_type,
       h.source_id, t.description, h.total_amount * 0.01 AS total_debit, h.total_amount * 0.01 AS total_credit,
       NULL::timestamptz AS posted_at
FROM staging.je_header h
JOIN control.batch_worker w ON w.header_leaf = h.tableoid
JOIN acct.journal_template t USING (template_id);

CREATE VIEW staging.je_line_staging AS
SELECT l.period, w.batch_id, l.je_number, l.line_number, a.account_code, a.fund,
       greatest(l.amount, 0) * 0.01 AS debit_amount, greatest(-l.amount, 0) * 0.01 AS credit_amount
FROM staging.je_line l
JOIN control.batch_worker w ON w.line_leaf = l.tableoid
LEFT JOIN acct.chart_of_accounts a USING (account_id);

-- The batch row decides what can be seen: a snapshot that does not see the batch as COMMITTED does not see its rows,
-- although COPY FREEZE made them visible to every snapshot.
--
-- It has to be posted already when a statement is planned, because it is then that PostgreSQL looks up the leaves: those of
-- headers, then those of lines, and in READ COMMITTED it takes a new snapshot afterwards. So this function says IMMUTABLE,
-- which makes PostgreSQL call it while it plans, and see what the plan's own snapshot sees. A plan that is kept does not
-- outlive an ATTACH.
CREATE FUNCTION control.posted_when_planned() RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ARRAY(SELECT batch_id FROM control.batch WHERE state = 'COMMITTED');

CREATE VIEW ledger.ledger_entry_header AS
SELECT h.period, w.batch_id, h.je_number, h.je_date, t.template_code, t.version AS template_version, t.source_type,
       h.source_id, t.description, h.total_amount * 0.01 AS total_debit, h.total_amount * 0.01 AS total_credit,
       b.committed_at AS posted_at
FROM ledger.je_header h
JOIN control.batch_worker w ON w.header_leaf = h.tableoid
JOIN control.batch b ON b.batch_id = w.batch_id AND b.state = 'COMMITTED' AND b.batch_id = ANY (control.posted_when_planned())
JOIN acct.journal_template t USING (template_id);

CREATE VIEW ledger.ledger_entry_line AS
SELECT l.period, w.batch_id, l.je_number, l.line_number, a.account_code, a.fund,
       greatest(l.amount, 0) * 0.01 AS debit_amount, greatest(-l.amount, 0) * 0.01 AS credit_amount
FROM ledger.je_line l
JOIN control.batch_worker w ON w.line_leaf = l.tableoid
JOIN control.batch b ON b.batch_id = w.batch_id AND b.state = 'COMMITTED' AND b.batch_id = ANY (control.posted_when_planned())
JOIN acct.chart_of_accounts a USING (account_id);

CREATE TABLE ledger.account_balance_snapshot (
    period          control.period_key NOT NULL REFERENCES control.period,
    account_code    text          NOT NULL REFERENCES acct.chart_of_accounts (account_code),
    fund            text          NOT NULL,
    opening_balance numeric(38,2) NOT NULL,
    debit           numeric(38,2) NOT NULL CHECK (debit >= 0),
    credit          numeric(38,2) NOT NULL CHECK (credit >= 0),
    closing_balance numeric(38,2) NOT NULL GENERATED ALWAYS AS (opening_balance + debit - credit) STORED,
    PRIMARY KEY (period, account_code)
);
COMMENT ON TABLE ledger.account_balance_snapshot IS 'Balances at the end of a month; debit balances positive, credit balances negative.';

CREATE TABLE ledger.fund_balance (
    period          control.period_key NOT NULL REFERENCES control.period,
    fund            text          NOT NULL,
    opening_balance numeric(38,2) NOT NULL,
    income          numeric(38,2) NOT NULL DEFAULT 0,
    expense         numeric(38,2) NOT NULL DEFAULT 0,
    equity_movement numeric(38,2) NOT NULL DEFAULT 0,
    closing_balance numeric(38,2) NOT NULL GENERATED ALWAYS AS (opening_balance + income - expense + equity_movement) STORED,
    PRIMARY KEY (period, fund)
);
COMMENT ON TABLE ledger.fund_balance IS 'What a fund owns over what it owes: surplus positive. Moved by each posting, in the posting transaction.';
