SELECT m.period, coalesce(p.status, 'OPEN') AS status, r.complete, r.not_complete, a.announced_types, a.types_that_differ
FROM (SELECT period FROM control.prerequisite_report UNION SELECT period FROM control.source_announcement) AS m
LEFT JOIN control.period p USING (period)
CROSS JOIN LATERAL (
    SELECT string_agg(name, ', ' ORDER BY name) FILTER (WHERE x.status = 'COMPLETE') AS complete,
           string_agg(name || ' ' || coalesce(x.status, 'not reported'), ', ' ORDER BY name)
               FILTER (WHERE x.status IS DISTINCT FROM 'COMPLETE') AS not_complete
    FROM control.prerequisites_of(m.period) AS x) AS r
CROSS JOIN LATERAL (
    SELECT string_agg(txn_type, ', ' ORDER BY txn_type) AS announced_types,
           string_agg(txn_type, ', ' ORDER BY txn_type) FILTER (WHERE NOT agrees) AS types_that_differ
    FROM control.announced_total WHERE period = m.period) AS a
ORDER BY m.period
