SELECT control.open_reversal(%(batch_id)s, %(period)s, %(reason)s, %(confirmation)s, %(first_period)s, %(performed_by)s)
