SELECT control.lock_period(%(period)s, %(performed_by)s)
