SELECT name AS prerequisite, coalesce(status, 'not reported') AS status, required, blocks, date_trunc('second', reported_at) AS reported_at,
       reported_by, reference
FROM control.prerequisites_of(%(period)s)
ORDER BY name
