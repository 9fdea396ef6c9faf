-- The tables that the posted lines of the months lie in. A leaf that hangs in the ledger and belongs to no posted batch is
-- named too (without batch): no view shows its rows, so nothing may be certified beside it.
SELECT c.relnamespace::regnamespace::text AS schema, c.relname AS name, b.batch_id
FROM pg_partition_tree('ledger.je_line') AS t
JOIN pg_class c ON c.oid = t.relid
JOIN pg_class m ON m.oid = t.parentrelid
LEFT JOIN control.batch_worker w ON w.line_leaf = c.oid
LEFT JOIN control.batch b ON b.batch_id = w.batch_id AND b.state = 'COMMITTED'
WHERE t.isleaf AND t.level = 2 AND m.relname = ANY (SELECT 'je_line_' || control.period_suffix(p) FROM unnest(%(periods)s::text[]) AS p)
ORDER BY c.relname
