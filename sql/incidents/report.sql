SELECT control.report_incident(%(kind)s, %(severity)s, %(subject)s, %(period)s, %(batch_id)s, %(check)s, %(title)s, %(expected)s, %(actual)s,
    %(what_to_do)s, %(run_id)s, %(occurrence)s, %(details)s, %(happened_at)s, %(performed_by)s)
