SELECT reason, count(*) AS transactions, min(detail) AS example, min(txn_id) AS first_transaction
FROM control.exception_queue
WHERE batch_id = %(batch_id)s AND status = 'OPEN'
GROUP BY reason
ORDER BY reason
