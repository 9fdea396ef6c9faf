-- The workers of a month whose leaves go: with the names of the leaves and what they hold.
SELECT b.batch_id, w.worker_number, w.header_leaf::oid AS header_leaf, w.line_leaf::oid AS line_leaf, w.entry_count, w.line_count,
       (SELECT coalesce(sum(m.debit_total), 0) FROM control.worker_measure_account m
        WHERE m.batch_id = w.batch_id AND m.worker_number = w.worker_number)::text AS debit_minor
FROM control.batch b
JOIN control.batch_worker w USING (batch_id)
WHERE b.period = %(period)s AND b.state = 'COMMITTED' AND w.line_leaf IS NOT NULL
ORDER BY b.batch_id, w.worker_number
