SELECT read_to, starts_at FROM control.hold_incident_source(%(source)s)
