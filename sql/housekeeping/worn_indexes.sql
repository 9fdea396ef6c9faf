-- Indexes that a killed REINDEX has left behind, which nobody uses and every writer pays for; and B-trees of a megabyte and more on
-- tables that change, whose density pgstattuple is asked for. (Leaves are written once.)
SELECT n.nspname AS schema, x.relname AS name, t.relname AS of_table, NOT i.indisvalid AS is_left_behind
FROM pg_index i
JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = x.relnamespace
JOIN pg_am a ON a.oid = x.relam
LEFT JOIN pg_class has_toast ON has_toast.reltoastrelid = t.oid
WHERE x.relkind = 'i' AND NOT coalesce(has_toast.relispartition, t.relispartition)
  AND coalesce(has_toast.relnamespace, t.relnamespace)::regnamespace::text IN ('source', 'acct', 'staging', 'ledger', 'control', 'audit', 'quarantine')
  AND CASE WHEN i.indisvalid THEN a.amname = 'btree' AND pg_relation_size(x.oid) >= %(index_bytes)s ELSE x.relname ~ '_cc(new|old)[0-9]*$' END
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.relid = t.oid)
ORDER BY i.indisvalid, 1, 2
