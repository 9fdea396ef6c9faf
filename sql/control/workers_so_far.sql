SELECT worker_number, status, coalesce(entry_count, 0), coalesce(line_count, 0), records_processed
FROM control.batch_worker
WHERE batch_id = %(batch_id)s
ORDER BY worker_number
