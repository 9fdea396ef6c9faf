SELECT period, close_number, sha256, document FROM ledger.close_certificate WHERE period = %(period)s ORDER BY close_number
