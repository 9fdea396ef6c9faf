SELECT control.refuse_aborted(b) FROM control.batch b WHERE batch_id = %(batch_id)s
