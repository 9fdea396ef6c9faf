SELECT audit.record_operation(%(operation)s, %(performed_by)s, %(outcome)s, %(batch_id)s, %(period)s, %(details)s)
