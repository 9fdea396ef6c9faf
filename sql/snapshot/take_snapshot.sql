SELECT ledger.take_snapshot(%(period)s, %(first_period)s, %(performed_by)s)
