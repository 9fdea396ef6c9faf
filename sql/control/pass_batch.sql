SELECT control.pass_batch(%(batch_id)s, %(attempt)s, %(performed_by)s)
