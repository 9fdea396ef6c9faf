-- For each worker of a reversal: the month and the numbers of the entries that it takes back.
SELECT w.worker_number, original.period, taken.first_je_number, taken.last_je_number
FROM control.batch b
JOIN control.batch original ON original.batch_id = b.reverses_batch_id
JOIN control.batch_worker w ON w.batch_id = b.batch_id
JOIN control.batch_worker taken ON taken.batch_id = original.batch_id AND taken.worker_number = w.worker_number
WHERE b.batch_id = %(batch_id)s
ORDER BY taken.first_je_number
