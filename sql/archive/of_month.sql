SELECT layer, directory, files, rows, date_trunc('second', archived_at) AS archived_at, archived_by
FROM control.standing_archive
WHERE period = %(period)s
ORDER BY layer, archive_id
