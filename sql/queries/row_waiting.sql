-- The batches that have a row in their plan and are not posted, with the exception that is open for it.
SELECT b.batch_id, b.state, q.reason, q.detail
FROM control.batch b
JOIN control.batch_worker_slice i USING (batch_id)
LEFT JOIN control.exception_queue q
       ON q.batch_id = b.batch_id AND q.status = 'OPEN' AND q.load_id = i.load_id AND q.row_number = %(row_number)s
WHERE b.state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK') AND i.load_id = %(load_id)s
  AND %(row_number)s BETWEEN i.first_row_number AND i.last_row_number
ORDER BY b.initiated_at
