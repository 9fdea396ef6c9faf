-- How many workers wait, run, are done or failed, and how fast are they? Of batches that have not ended, and of the last one.
SELECT batch_id, period, kind, state, status, workers, records_processed, average_records_per_second
FROM control.workers_by_status
ORDER BY period, batch_id, status
