SELECT s.worker_number, l.period, s.load_id, s.first_row_number, s.last_row_number
FROM control.batch_worker_slice s
JOIN source.load l USING (load_id)
WHERE s.batch_id = %(batch_id)s
ORDER BY s.worker_number, s.load_id
