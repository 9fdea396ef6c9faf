SELECT worker_number AS worker, status, records_processed AS transactions, entry_count AS entries, line_count AS lines,
       first_je_number AS first_number, last_je_number AS last_number, records_per_second, error
FROM control.batch_worker
WHERE batch_id = %(batch_id)s
ORDER BY worker_number
