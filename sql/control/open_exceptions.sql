SELECT reason, count(*)
FROM control.exception_queue
WHERE batch_id = %(batch_id)s AND status = 'OPEN'
GROUP BY reason
