SELECT position, event, batch_id, root, previous_hash, hash FROM ledger.seal_chain ORDER BY position
