-- Which workers are slower than 500 records a second? The slowest first. A worker of a few dozen records always is: its fixed
-- cost counts.
SELECT batch_id, period, worker_number, status, records, seconds, records_per_second
FROM control.slow_workers
ORDER BY records_per_second, batch_id, worker_number
