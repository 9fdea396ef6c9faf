SELECT control.report_prerequisite(%(period)s, %(name)s, %(status)s, %(reference)s, %(reported_by)s)
