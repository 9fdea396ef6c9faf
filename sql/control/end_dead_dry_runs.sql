SELECT control.end_dead_dry_runs(%(period)s, %(performed_by)s)
