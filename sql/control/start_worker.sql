UPDATE control.batch_worker SET status = 'RUNNING', started_at = clock_timestamp(), error = NULL
WHERE batch_id = %(batch_id)s AND worker_number = %(worker_number)s AND status <> 'COMPLETED'
RETURNING started_at
