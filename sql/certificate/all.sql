SELECT period, close_number, sha256, document FROM ledger.close_certificate ORDER BY period, close_number
