-- For `status`: nothing of a month of which nobody reported anything and for which nothing is obligatory.
SELECT name AS prerequisite, coalesce(status, 'not reported') AS status, required, blocks, date_trunc('second', reported_at) AS reported_at,
       reported_by, reference
FROM control.prerequisites_of(%(period)s)
WHERE required OR EXISTS (SELECT FROM control.prerequisite_report r WHERE r.period = %(period)s)
ORDER BY name
