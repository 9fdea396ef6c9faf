SELECT l.load_id, l.row_count, l.accepted_count, l.checksum::text AS checksum, l.file_sha256
FROM control.loads_to_archive(%(period)s, %(active_months)s) AS due (load_id)
JOIN source.load l USING (load_id)
ORDER BY l.load_id
