SELECT control.start_worker(%(batch_id)s, %(worker_number)s)
