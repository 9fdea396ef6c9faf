SELECT ledger.record_certificate(%(period)s, %(document)s, %(performed_by)s)
