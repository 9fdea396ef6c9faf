SELECT control.fail_batch(%(batch_id)s, %(attempt)s, %(performed_by)s, %(reason)s)
