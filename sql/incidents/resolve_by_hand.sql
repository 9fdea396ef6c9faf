SELECT control.resolve_incident(%(incident_id)s, %(reason)s, %(performed_by)s)
