SELECT control.resume_batch(%(period)s, %(rule_set)s, %(rule_version)s, %(first_period)s, %(performed_by)s, %(run_id)s)
