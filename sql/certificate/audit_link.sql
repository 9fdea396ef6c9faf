SELECT encode(hash, 'hex') AS hash FROM audit.operation_chain WHERE position = %(position)s
