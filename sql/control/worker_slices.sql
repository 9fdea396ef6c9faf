SELECT worker_number, load_id, first_row_number, last_row_number
FROM control.batch_worker_slice
WHERE batch_id = %(batch_id)s
ORDER BY worker_number, load_id
