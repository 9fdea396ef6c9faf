SELECT position, encode(hash, 'hex') AS hash FROM audit.operation_chain ORDER BY position DESC LIMIT 1
