-- The posted worker that journaled a row, with the numbers of its entries: the row's are among them.
SELECT b.batch_id, b.period, w.worker_number, w.first_je_number, w.last_je_number
FROM control.load_batch p
JOIN control.batch b ON b.batch_id = p.batch_id AND b.state = 'COMMITTED'
JOIN control.batch_worker_slice i ON i.batch_id = b.batch_id AND i.load_id = p.load_id
JOIN control.batch_worker w ON w.batch_id = i.batch_id AND w.worker_number = i.worker_number
WHERE p.load_id = %(load_id)s AND %(row_number)s BETWEEN i.first_row_number AND i.last_row_number
  AND w.last_je_number IS NOT NULL
