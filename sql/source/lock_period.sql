SELECT source.lock_period(%(period)s)
