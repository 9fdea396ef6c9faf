-- To the end of the transaction. Several slices are read at once, each by a connection that keeps a core busy.
SELECT set_config('max_parallel_workers_per_gather', '0', true)
