SELECT l.load_id, p.batch_id, l.file_sha256, l.mapping_sha256, l.row_count AS rows, l.accepted_count AS accepted,
       l.rejected_count AS rejected, l.skipped_count AS skipped, l.unchanged_count AS unchanged, l.checksum::text AS checksum
FROM control.batch b
JOIN control.load_batch p USING (batch_id)
JOIN source.load l USING (load_id)
WHERE b.period = %(period)s AND b.state = 'COMMITTED'
ORDER BY l.load_id
