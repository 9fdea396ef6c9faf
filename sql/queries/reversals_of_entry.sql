-- The entry that this one takes back, and the one that takes it back. A worker of a reversal answers the worker with its
-- number, entry for entry.
WITH held AS (
    SELECT w.batch_id, w.worker_number, b.reverses_batch_id, %(je_number)s - w.first_je_number AS place
    FROM control.batch b
    JOIN control.batch_worker w USING (batch_id)
    WHERE b.period = %(period)s AND b.state = 'COMMITTED' AND %(je_number)s BETWEEN w.first_je_number AND w.last_je_number
)
SELECT 'reverses' AS relation, b.batch_id, b.period, w.first_je_number + h.place AS je_number
FROM held h
JOIN control.batch b ON b.batch_id = h.reverses_batch_id
JOIN control.batch_worker w ON w.batch_id = b.batch_id AND w.worker_number = h.worker_number
UNION ALL
SELECT 'reversed_by', b.batch_id, b.period, w.first_je_number + h.place
FROM held h
JOIN control.batch b ON b.reverses_batch_id = h.batch_id AND b.state = 'COMMITTED'
JOIN control.batch_worker w ON w.batch_id = b.batch_id AND w.worker_number = h.worker_number
