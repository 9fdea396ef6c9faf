SELECT control.announce_source(%(period)s, %(txn_type)s, %(rows)s, %(gross)s, %(reference)s, %(announced_by)s)
