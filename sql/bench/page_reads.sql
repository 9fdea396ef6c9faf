-- How often pages of the rows were asked for (in the buffers or not, the index's own pages left out), and how many there are.
WITH leaf AS (
    SELECT 'source' AS kind, l.leaf::oid AS relid FROM source.load l WHERE l.leaf IS NOT NULL
    UNION ALL
    SELECT kind, relid FROM control.batch_worker w,
         LATERAL (VALUES ('header', w.header_leaf::oid), ('line', w.line_leaf::oid)) AS both_of(kind, relid)
    WHERE relid IS NOT NULL
)
SELECT kind, sum(s.heap_blks_read + s.heap_blks_hit)::bigint,
       sum(pg_relation_size(relid) / current_setting('block_size')::integer)::bigint
FROM leaf JOIN pg_statio_all_tables s USING (relid)
GROUP BY kind ORDER BY kind
