SELECT c.source_type AS type, coalesce(sum(c.actual_count), 0)::bigint AS count
FROM control.batch b JOIN control.batch_source_count c USING (batch_id)
WHERE b.period = %(period)s AND b.state = 'COMMITTED'
GROUP BY c.source_type
ORDER BY c.source_type
