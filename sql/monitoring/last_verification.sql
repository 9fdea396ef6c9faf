-- The last `ledger-assets verify` on record: whether it found everything in order.
SELECT outcome = 'SUCCESS' AS succeeded, extract(epoch FROM performed_at) AS performed_at
FROM audit.batch_operation
WHERE operation = 'VERIFY'
ORDER BY operation_id DESC
LIMIT 1
