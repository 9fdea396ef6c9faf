SELECT name, current_setting(name) AS value
FROM pg_settings
WHERE name IN (
    'server_version', 'fsync', 'synchronous_commit', 'full_page_writes', 'data_checksums', 'wal_level', 'wal_compression',
    'max_wal_size', 'checkpoint_timeout', 'shared_buffers', 'work_mem', 'maintenance_work_mem', 'effective_cache_size',
    'max_worker_processes', 'max_parallel_workers', 'max_parallel_workers_per_gather', 'max_parallel_maintenance_workers',
    'huge_pages', 'io_method', 'jit', 'autovacuum')
ORDER BY name
