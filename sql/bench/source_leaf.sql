SELECT l.load_id, n.nspname, c.relname,
       ARRAY(SELECT regexp_replace(pg_get_indexdef(i.indexrelid), '^(CREATE (UNIQUE )?INDEX) \S+ ON (ONLY )?\S+',
                                   '\1 ON source.bare_leaf')
             FROM pg_index i WHERE i.indrelid = c.oid ORDER BY i.indexrelid)
FROM source.load l JOIN pg_class c ON c.oid = l.leaf JOIN pg_namespace n ON n.oid = c.relnamespace
