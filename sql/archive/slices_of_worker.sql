-- The rows of loads that a worker journaled; of a reversal, those that the worker with its number journaled in what it takes back.
WITH RECURSIVE staged AS (
    SELECT batch_id, reverses_batch_id FROM control.batch WHERE batch_id = %(batch_id)s
  UNION ALL
    SELECT b.batch_id, b.reverses_batch_id FROM staged s JOIN control.batch b ON b.batch_id = s.reverses_batch_id)
SELECT d.period AS source_period, i.load_id, i.first_row_number, i.last_row_number
FROM staged s
JOIN control.batch_worker_slice i ON i.batch_id = s.batch_id AND i.worker_number = %(worker_number)s
JOIN source.load d USING (load_id)
ORDER BY i.load_id
