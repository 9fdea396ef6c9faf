SELECT control.record_verdict(%(batch_id)s, %(attempt)s, %(gate)s, %(passed)s, %(expected)s, %(actual)s, %(difference)s,
                              %(detail)s, %(offending)s)
