SELECT close_number, date_trunc('second', closed_at) AS closed_at, closed_by, array_to_string(batches, ', ') AS batches,
       date_trunc('second', reopened_at) AS reopened_at, reopened_by, reopen_reason
FROM ledger.close_history
WHERE period = %(period)s
ORDER BY close_number, ledger.close_history.reopened_at
