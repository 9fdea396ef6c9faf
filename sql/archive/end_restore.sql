SELECT control.end_restore(%(archive_id)s, %(performed_by)s)
