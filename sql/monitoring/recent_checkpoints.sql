-- What has been finished in the last five minutes? No row while a batch is being staged: nothing moves.
SELECT batch_id, period, worker_number, attempt, records_processed, last_je_number, recorded_at, seconds_ago
FROM control.recent_checkpoints
ORDER BY recorded_at DESC, batch_id, worker_number
