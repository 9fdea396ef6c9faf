SELECT control.require_prerequisite(%(name)s, %(required)s, %(description)s, %(performed_by)s)
