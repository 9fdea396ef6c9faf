SELECT control.advance_incident_source(%(source)s, %(read_to)s)
