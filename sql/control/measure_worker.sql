SELECT control.measure_worker(%(batch_id)s, %(worker_number)s)
