SELECT ledger.prepare_for_readers(%(batch_id)s, %(worker_number)s)
