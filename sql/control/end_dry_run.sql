SELECT control.end_dry_run(%(batch_id)s, %(performed_by)s)
