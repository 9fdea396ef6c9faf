SELECT control.restart_worker(%(batch_id)s, %(worker_number)s, %(performed_by)s)
