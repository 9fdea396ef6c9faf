SELECT l.load_id, l.file_name, l.row_count AS rows_in_file, l.accepted_count AS accepted, l.rejected_count AS rejected,
       l.skipped_count AS skipped, l.unchanged_count AS unchanged, l.loaded_by, date_trunc('second', l.loaded_at) AS loaded_at,
       coalesce(p.batch_id, CASE l.status WHEN 'LOADED' THEN 'not posted yet' ELSE 'withdrawn' END) AS posted_in
FROM source.load l
LEFT JOIN control.load_batch p USING (load_id)
WHERE l.period = %(period)s
ORDER BY l.load_id
