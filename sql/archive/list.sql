-- Every archive, of one month or of all; those that were restored too.
SELECT a.period, a.layer, a.directory, count(f.file_name) AS files, coalesce(sum(f.row_count), 0) AS rows,
       coalesce(sum(f.byte_count), 0) AS bytes, date_trunc('second', a.archived_at) AS archived_at, a.archived_by,
       date_trunc('second', a.restored_at) AS restored_at, a.restored_by
FROM control.archive a
LEFT JOIN control.archived_file f USING (archive_id)
WHERE %(period)s::text IS NULL OR a.period = %(period)s
GROUP BY a.archive_id
ORDER BY a.period, a.layer, a.archive_id
