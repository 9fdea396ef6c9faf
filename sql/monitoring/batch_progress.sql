-- How far is the running batch, and when will it be through its staging? No row: nothing runs.
SELECT batch_id, period, kind, attempt, state, workers, workers_completed, workers_failed, records_expected, records_processed,
       percent, minutes_running, minutes_remaining, staged_by
FROM control.batch_progress
ORDER BY period, batch_id
