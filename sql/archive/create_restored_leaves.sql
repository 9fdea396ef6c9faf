SELECT header_leaf, line_leaf FROM ledger.create_restored_leaves(%(archive_id)s, %(batch_id)s, %(worker_number)s)
