-- What waits for somebody, how big the ledger is by its control tables (no row is counted), and how old the last close is.
SELECT (SELECT count(*) FROM control.exception_queue WHERE status = 'OPEN') AS open_exceptions,
       (SELECT count(*) FROM source.rejected_row WHERE status = 'OPEN') AS open_refused_rows,
       pg_database_size(current_database()) AS database_bytes,
       (SELECT coalesce(sum(entry_count), 0) FROM control.batch WHERE state = 'COMMITTED') AS posted_entries,
       (SELECT coalesce(sum(line_count), 0) FROM control.batch WHERE state = 'COMMITTED') AS posted_lines,
       (SELECT extract(epoch FROM max(closed_at)) FROM control.period) AS last_close_at
