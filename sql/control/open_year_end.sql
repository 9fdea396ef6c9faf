SELECT control.open_year_end(%(year)s, %(reason)s, %(confirmation)s, %(first_period)s, %(performed_by)s)
