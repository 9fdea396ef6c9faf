SELECT worker_number, records, seconds, records_per_second
FROM control.slow_workers
WHERE batch_id = %(batch_id)s AND seconds >= %(seconds)s
ORDER BY worker_number
