SELECT staging.finish_batch(%(batch_id)s, %(attempt)s, %(performed_by)s)
