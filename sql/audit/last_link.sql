SELECT position, hash FROM audit.operation_chain ORDER BY position DESC LIMIT 1
