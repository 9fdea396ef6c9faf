SELECT l.load_id, l.accepted_count, l.checksum, m.row_count, m.checksum
FROM control.unprocessed_load u
JOIN source.load l USING (load_id)
JOIN control.load_measure m USING (load_id)
WHERE u.period = %(period)s
ORDER BY l.load_id
