SELECT pg_relation_size('source.bare_leaf'), current_setting('max_parallel_maintenance_workers')::integer
