SELECT control.note_workers(%(performed_by)s)
