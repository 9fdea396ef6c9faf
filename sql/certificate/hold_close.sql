SELECT ledger.hold_close(%(period)s)
