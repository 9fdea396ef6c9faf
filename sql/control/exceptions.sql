SELECT batch_id, load_id, row_number, txn_id, reason, detail
FROM control.exception_queue
WHERE period = %(period)s AND status = 'OPEN'
ORDER BY exception_id
LIMIT 100
