-- Rows that were refused under this id. Not those that a later load brought rightly: it has them.
SELECT r.txn_id, d.period, r.load_id, r.row_number, d.file_name, d.status AS load_status, r.status AS refusal, r.reasons, r.resolution
FROM source.rejected_row r
JOIN source.load d USING (load_id)
WHERE r.txn_id = %(txn_id)s AND r.status <> 'RESOLVED'
ORDER BY r.load_id, r.row_number
