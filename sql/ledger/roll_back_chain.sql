SELECT ledger.roll_back_chain(%(batch_id)s, %(reason)s, %(confirmation)s, %(performed_by)s)
