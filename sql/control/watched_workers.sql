SELECT w.worker_number AS worker, w.status,
       CASE WHEN w.status = 'COMPLETED' THEN w.records_processed ELSE greatest(w.records_expected, (
           SELECT coalesce(sum(s.last_row_number - s.first_row_number + 1), 0) FROM control.batch_worker_slice s
           WHERE s.batch_id = w.batch_id AND s.worker_number = w.worker_number)) END::bigint AS records,
       round(extract(epoch FROM coalesce(w.completed_at, clock_timestamp()) - w.started_at), 1) AS seconds,
       w.records_per_second, w.error
FROM control.batch_worker w
WHERE w.batch_id = %(batch_id)s
ORDER BY w.worker_number
