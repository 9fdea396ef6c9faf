SELECT control.set_batch_state(%(batch_id)s, %(state)s, %(performed_by)s, %(details)s)
