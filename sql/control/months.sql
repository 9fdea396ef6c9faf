SELECT m.period, coalesce(p.status, 'OPEN') AS status, b.posted_batches, b.entries, b.lines, s.loads_to_post, s.refused_rows,
       b.open_batch
FROM (SELECT period FROM control.period UNION SELECT period FROM source.load) AS m
LEFT JOIN control.period p USING (period)
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state = 'COMMITTED') AS posted_batches,
           coalesce(sum(entry_count) FILTER (WHERE state = 'COMMITTED'), 0) AS entries,
           coalesce(sum(line_count) FILTER (WHERE state = 'COMMITTED'), 0) AS lines,
           max(batch_id || ' ' || state) FILTER (WHERE state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK')) AS open_batch
    FROM control.batch WHERE batch.period = m.period) AS b ON true
LEFT JOIN LATERAL (
    SELECT (SELECT count(*) FROM control.unprocessed_load u WHERE u.period = m.period) AS loads_to_post,
           (SELECT count(*) FROM source.rejected_row r JOIN source.load l USING (load_id)
            WHERE l.period = m.period AND r.status = 'OPEN') AS refused_rows) AS s ON true
ORDER BY m.period
