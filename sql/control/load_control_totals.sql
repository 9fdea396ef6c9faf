SELECT l.load_id, l.accepted_count, l.checksum, m.row_count, m.checksum
FROM control.batch_load b
JOIN source.load l USING (load_id)
JOIN control.load_measure m USING (load_id)
WHERE b.batch_id = %(batch_id)s
ORDER BY l.load_id
