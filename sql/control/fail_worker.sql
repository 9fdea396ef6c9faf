SELECT control.fail_worker(%(batch_id)s, %(attempt)s, %(worker_number)s, %(error)s)
