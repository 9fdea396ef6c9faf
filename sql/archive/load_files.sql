-- The files in which the transactions of a batch lie, by the slices that its workers journaled.
SELECT DISTINCT a.period, f.load_id
FROM control.batch_load x
JOIN control.archived_file f USING (load_id)
JOIN control.archive a USING (archive_id)
WHERE x.batch_id = %(batch_id)s AND a.restored_at IS NULL
ORDER BY 1, 2
