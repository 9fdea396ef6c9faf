-- What was contributed and claimed by product and channel (B8), for the papers of a month.

-- Added up once for each load, when the first paper is written after it was posted: the source itself is archived and dropped
-- one day, the papers of its month can be written again all the same. Its codes are as delivered (somebody's name may stand in
-- one), so only those read it who may read the source; papers show the codes that the rules name.
CREATE TABLE source.load_product_total (
    load_id      integer          NOT NULL REFERENCES source.load,
    txn_type     text COLLATE "C" NOT NULL,
    product_code text COLLATE "C" NOT NULL,
    channel      text COLLATE "C" NOT NULL,
    row_count    bigint           NOT NULL CHECK (row_count > 0),
    gross_total  numeric(38, 2)   NOT NULL,
    PRIMARY KEY (load_id, txn_type, product_code, channel)
);
COMMENT ON TABLE source.load_product_total IS 'The transactions of a posted load by type, product and channel; the 500 largest, the rest of each type under (others).';

-- Adds up the loads that the posted batches of a month have and that nobody has added up yet; returns how many. One scan of
-- each, once. Safe to repeat and to kill: a load is added up as a whole or not. Who does so at the same time waits.
CREATE FUNCTION source.total_by_product(the_period text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    l     source.load;
    added integer := 0;
BEGIN
    PERFORM control.require_read_committed();
    FOR l IN
        SELECT x.* FROM source.load x JOIN control.load_batch p USING (load_id) JOIN control.batch b USING (batch_id)
        WHERE b.period = the_period AND x.status = 'LOADED' AND x.leaf IS NOT NULL
          AND NOT EXISTS (SELECT FROM source.load_product_total t WHERE t.load_id = x.load_id)
        ORDER BY x.load_id
        FOR NO KEY UPDATE OF x
    LOOP
        -- Another may have done it while this one waited; and an archived leaf is there by name only.
        CONTINUE WHEN NOT control.is_there(l.leaf)
                   OR EXISTS (SELECT FROM source.load_product_total t WHERE t.load_id = l.load_id);
        EXECUTE format($q$
            WITH added AS (
                SELECT txn_type, product_code, channel, count(*) AS n, sum(gross_amount) AS gross
                FROM %s GROUP BY txn_type, product_code, channel
            ), ranked AS (
                SELECT *, row_number() OVER (ORDER BY n DESC, txn_type, product_code, channel) <= 500 AS is_kept FROM added
            )
            INSERT INTO source.load_product_total (load_id, txn_type, product_code, channel, row_count, gross_total)
            SELECT $1, txn_type, CASE WHEN is_kept THEN product_code ELSE '(others)' END, CASE WHEN is_kept THEN channel ELSE '(others)' END,
                   sum(n), sum(gross)
            FROM ranked GROUP BY 1, 2, 3, 4 $q$, l.leaf)
        USING l.load_id;
        added := added + 1;
    END LOOP;
    RETURN added;
END $$;
