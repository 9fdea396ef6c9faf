-- Row and reasons, not the row's content: what it holds may be personal.
SELECT l.file_name, r.row_number, r.txn_id, array_to_string(r.reasons, ', ') AS reasons
FROM source.rejected_row r
JOIN source.load l USING (load_id)
WHERE l.period IN (SELECT control.months_booked_in(%(period)s)) AND r.status = 'OPEN'
ORDER BY r.load_id, r.row_number
LIMIT %(limit)s
