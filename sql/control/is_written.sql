SELECT EXISTS (
    SELECT FROM control.batch_checkpoint
    WHERE batch_id = %(batch_id)s AND worker_number = %(worker_number)s AND attempt = %(attempt)s)
