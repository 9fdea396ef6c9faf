SELECT position, encode(hash, 'hex') AS hash FROM ledger.seal_chain ORDER BY position DESC LIMIT 1
