SELECT acct.shown_code(source_type), sum(transaction_count)::bigint
FROM control.worker_measure_source
WHERE batch_id = %(batch_id)s
GROUP BY 1
