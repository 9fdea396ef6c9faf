-- To the end of the transaction. Several slices are read at once, each by a connection that keeps a core busy. A load that was just
-- made has no statistics, and PostgreSQL would read all of it for each slice and sort whole rows by their block.
SELECT set_config('max_parallel_workers_per_gather', '0', true), set_config('enable_seqscan', 'off', true),
       set_config('enable_sort', 'off', true)
