SELECT period, close_number, sha256, document FROM ledger.latest_certificate(%(period)s)
