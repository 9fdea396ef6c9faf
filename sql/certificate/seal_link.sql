SELECT encode(hash, 'hex') AS hash FROM ledger.seal_chain WHERE position = %(position)s
