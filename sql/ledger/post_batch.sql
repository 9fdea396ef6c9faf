SELECT ledger.post_batch(%(batch_id)s, %(first_period)s, %(performed_by)s)
