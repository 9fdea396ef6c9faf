SELECT ledger.finish_restored_leaves(%(archive_id)s, %(batch_id)s, %(worker_number)s)
