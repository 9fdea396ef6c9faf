SELECT ledger.roll_back_batch(%(batch_id)s, %(reason)s, %(confirmation)s, %(performed_by)s)
