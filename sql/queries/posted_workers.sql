-- The workers whose leaves are part of the month.
SELECT b.batch_id, w.worker_number
FROM control.batch b
JOIN control.batch_worker w USING (batch_id)
WHERE b.period = %(period)s AND b.state = 'COMMITTED' AND w.line_leaf IS NOT NULL
ORDER BY b.committed_at, b.batch_id, w.worker_number
