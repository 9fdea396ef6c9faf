SELECT l.load_id, l.accepted_count, l.checksum, m.row_count, m.checksum
FROM control.loads_to_journal(%(period)s) u
JOIN source.load l USING (load_id)
JOIN control.load_measure m USING (load_id)
ORDER BY l.load_id
