SELECT control.reopen_period(%(period)s, %(reason)s, %(chain)s, %(performed_by)s)
