SELECT worker_number FROM control.batch_worker WHERE batch_id = %(batch_id)s ORDER BY worker_number
