SELECT reverses_batch_id FROM control.batch WHERE batch_id = %(batch_id)s
