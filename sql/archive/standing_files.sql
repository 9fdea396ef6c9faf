-- The files of what is archived now, of one month or of all, with what was measured of each leaf when it was posted.
SELECT a.archive_id, a.period, a.layer, a.directory, a.manifest_sha256, f.file_name, f.content, f.batch_id, f.worker_number, f.load_id,
       f.row_count, f.byte_count, f.sha256, l.file_name AS delivered_as
FROM control.archive a
LEFT JOIN control.archived_file f USING (archive_id)
LEFT JOIN source.load l ON l.load_id = f.load_id
WHERE a.restored_at IS NULL AND (%(period)s::text IS NULL OR a.period = %(period)s)
ORDER BY a.period, a.layer, a.archive_id, f.file_name
