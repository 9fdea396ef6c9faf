SELECT control.abort_batch(%(batch_id)s, %(reason)s, %(performed_by)s)
