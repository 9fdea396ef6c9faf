WITH leaf AS (
    SELECT 'source' AS kind, l.leaf AS leaf, l.accepted_count::bigint AS stored FROM source.load l WHERE l.leaf IS NOT NULL
    UNION ALL
    SELECT kind, leaf, stored FROM control.batch_worker w,
         LATERAL (VALUES ('header', w.header_leaf, w.entry_count::bigint), ('line', w.line_leaf, w.line_count::bigint))
             AS both_of(kind, leaf, stored)
    WHERE leaf IS NOT NULL
)
SELECT kind, sum(stored)::bigint AS rows, count(*)::integer AS leaves, sum(pg_relation_size(leaf))::bigint AS heap_bytes,
       sum(pg_indexes_size(leaf))::bigint AS index_bytes
FROM leaf GROUP BY kind ORDER BY kind
