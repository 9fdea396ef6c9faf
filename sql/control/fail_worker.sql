UPDATE control.batch_worker w SET status = 'FAILED', error = %(error)s
FROM control.batch b
WHERE b.batch_id = w.batch_id AND b.attempt = %(attempt)s
  AND w.batch_id = %(batch_id)s AND w.worker_number = %(worker_number)s AND w.status <> 'COMPLETED'
