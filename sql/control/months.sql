SELECT p.period, p.status, count(b.batch_id) FILTER (WHERE b.state = 'COMMITTED') AS posted_batches,
       coalesce(sum(b.entry_count) FILTER (WHERE b.state = 'COMMITTED'), 0) AS entries,
       coalesce(sum(b.line_count) FILTER (WHERE b.state = 'COMMITTED'), 0) AS lines,
       max(b.batch_id || ' ' || b.state) FILTER (WHERE b.kind = 'MONTHEND' AND b.state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK')) AS open_batch
FROM control.period p
LEFT JOIN control.batch b USING (period)
GROUP BY p.period
ORDER BY p.period
