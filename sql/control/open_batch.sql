SELECT control.open_batch(%(period)s, %(kind)s, %(rule_set)s, %(rule_version)s, %(rows_per_worker)s, %(first_period)s,
                          %(performed_by)s, %(run_id)s)
