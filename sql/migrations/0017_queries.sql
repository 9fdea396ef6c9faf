-- For those who read the books: one account's lines, where an entry comes from, and what keeps both quick when a month has
-- 80 million lines. docs/queries.md has the plans.

-- ---------------------------------------------------------------------------------------------------- views

-- ledger_entry_line with the number of the account, the column that a line really has. A query that gives it as a value lets
-- PostgreSQL look up, before it reads anything, whether that account has millions of lines or a handful; by its code it can
-- only assume that every account has as many as the next.
CREATE VIEW ledger.account_line AS
SELECT l.period, l.account_id, l.je_number, l.line_number, w.batch_id, a.account_code, a.fund,
       greatest(l.amount, 0) * 0.01 AS debit_amount, greatest(-l.amount, 0) * 0.01 AS credit_amount
FROM ledger.je_line l
JOIN control.batch_worker w ON w.line_leaf = l.tableoid
JOIN control.batch b ON b.batch_id = w.batch_id AND b.state = 'COMMITTED' AND b.batch_id = ANY (control.posted_when_planned())
JOIN acct.chart_of_accounts a USING (account_id);
COMMENT ON VIEW ledger.account_line IS 'Posted lines as in ledger_entry_line, to be asked by account_id (acct.chart_of_accounts has it).';

CREATE VIEW ledger.entry_origin AS
SELECT h.period, h.je_number, w.batch_id, w.worker_number, b.kind, b.reverses_batch_id, h.source_id, h.source_entry,
       h.template_id, t.rule_set, t.rule_version, t.template_code, t.version AS template_version
FROM ledger.je_header h
JOIN control.batch_worker w ON w.header_leaf = h.tableoid
JOIN control.batch b ON b.batch_id = w.batch_id AND b.state = 'COMMITTED' AND b.batch_id = ANY (control.posted_when_planned())
JOIN acct.journal_template t USING (template_id);
COMMENT ON VIEW ledger.entry_origin IS 'What a posted entry was made from: the transaction, and the template of which version of the rules.';
COMMENT ON COLUMN ledger.entry_origin.source_entry IS 'Which of the entries that the template makes of one transaction: its lines are those with this entry_number.';

-- ---------------------------------------------------------------------------------------------------- after the close

-- Statistics and the index by account of what one worker of a posted batch wrote; false when there is nothing (any more) to
-- do it for. No part of the close, and the books are the same without it. Safe to repeat and to kill. It locks out
-- nobody who reads; who rolls the batch back waits until it is done, which is why it is one worker at a time.
--
-- The index keeps which accounts occur in every eight pages (1,250 lines): 0.09 bytes a line where a B-tree takes 7, and a
-- fifth of its time to build. An account that has few lines is found by it; one that is on every page is read as before.
CREATE FUNCTION ledger.prepare_for_readers(the_batch text, the_worker integer) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    w control.batch_worker;
BEGIN
    PERFORM control.require_read_committed();
    PERFORM FROM control.batch WHERE batch_id = the_batch AND state = 'COMMITTED' FOR SHARE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT * INTO w FROM control.batch_worker x WHERE x.batch_id = the_batch AND x.worker_number = the_worker;
    IF w.line_leaf IS NULL OR NOT control.is_there(w.line_leaf) OR NOT control.is_there(w.header_leaf) THEN
        RETURN false;
    END IF;
    -- Two who prepare the same leaf: the second waits here, and not while each holds what the other wants next.
    EXECUTE format('LOCK TABLE %s, %s IN SHARE UPDATE EXCLUSIVE MODE', w.header_leaf, w.line_leaf);
    IF NOT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
                   WHERE i.indrelid = w.line_leaf AND a.amname = 'brin') THEN
        EXECUTE format('CREATE INDEX ON %s USING brin (account_id int2_minmax_multi_ops (values_per_range = 64)) '
                       'WITH (pages_per_range = 8)', w.line_leaf);
    END IF;
    EXECUTE format('ANALYZE %s, %s', w.header_leaf, w.line_leaf);
    RETURN true;
END $$;

-- Statistics of the small tables that every query on the books joins. Autovacuum makes none of a table with less than fifty
-- changes, and without them PostgreSQL takes one line of a month to be visible: it then reads all of it for its first page.
CREATE FUNCTION control.refresh_statistics() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    ANALYZE control.batch, control.batch_worker, control.batch_worker_slice, control.worker_measure_account, source.load,
        acct.chart_of_accounts, acct.rule_set, acct.journal_template, acct.journal_template_line,
        ledger.account_balance_snapshot, ledger.fund_balance;
END $$;
