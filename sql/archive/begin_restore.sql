SELECT control.begin_restore(%(archive_id)s)
