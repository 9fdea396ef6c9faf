SELECT control.start_worker(%(batch_id)s, %(attempt)s, %(worker_number)s)
