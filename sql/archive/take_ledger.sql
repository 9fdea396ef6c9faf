SELECT ledger.take_to_archive(%(period)s, %(directory)s, %(manifest_sha256)s, %(files)s, %(active_months)s, %(performed_by)s)
