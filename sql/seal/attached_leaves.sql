-- Every table that holds rows of the ledger, the month that it is part of, and the posted worker whose leaf it is. From
-- pg_inherits, which shows the same moment as the batches do; pg_partition_tree() shows the present.
WITH RECURSIVE tree AS (
    SELECT i.inhrelid AS leaf, i.inhparent AS parent, r.relname::text AS root
    FROM pg_inherits i JOIN pg_class r ON r.oid = i.inhparent
    WHERE i.inhparent IN ('ledger.je_header'::regclass, 'ledger.je_line'::regclass)
  UNION ALL
    SELECT i.inhrelid, i.inhparent, tree.root FROM tree JOIN pg_inherits i ON i.inhparent = tree.leaf)
SELECT tree.leaf, c.relnamespace::regnamespace::text || '.' || c.relname AS name, tree.root, p.relname::text AS parent,
       w.batch_id, w.worker_number, b.period, b.state
FROM tree
JOIN pg_class c ON c.oid = tree.leaf
JOIN pg_class p ON p.oid = tree.parent
LEFT JOIN control.batch_worker w ON CASE tree.root WHEN 'je_header' THEN w.header_leaf ELSE w.line_leaf END = tree.leaf
LEFT JOIN control.batch b ON b.batch_id = w.batch_id
WHERE c.relkind <> 'p'
ORDER BY tree.root, tree.leaf
