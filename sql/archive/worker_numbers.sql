-- The posted workers of a month with an entry from a number on, in the order of their entries.
SELECT b.batch_id, w.worker_number, w.first_je_number, w.last_je_number
FROM control.batch b
JOIN control.batch_worker w USING (batch_id)
WHERE b.period = %(period)s AND b.state = 'COMMITTED' AND w.last_je_number >= %(first)s
ORDER BY w.first_je_number
