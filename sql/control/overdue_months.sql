-- Months that should be closed by now, and are not. A month counts when something of it was loaded, reported or announced, or when
-- it lies between such a month, or a closed one, and one that counts: it then holds the later one up.
WITH active AS (
    SELECT period::text AS period FROM source.load WHERE status = 'LOADED'
    UNION SELECT period::text FROM control.prerequisite_report
    UNION SELECT period::text FROM control.source_announcement
),
known AS (
    SELECT min(period COLLATE "C") AS first
    FROM (SELECT period FROM active UNION SELECT period::text FROM control.period WHERE control.is_closed(period)) AS x
),
month AS (
    SELECT to_char(day, 'YYYY-MM') AS period, (day + interval '1 month')::date + (%(due_day)s - 1) AS due
    FROM known, generate_series(to_date(greatest(known.first COLLATE "C", %(first_period)s), 'YYYY-MM')::timestamp,
                                to_date((SELECT max(period COLLATE "C") FROM active), 'YYYY-MM')::timestamp, interval '1 month') AS day
)
SELECT m.period, m.due, (%(now)s AT TIME ZONE 'UTC')::date - m.due AS days_late, coalesce(p.status, 'OPEN') AS status,
       (SELECT count(*) FROM source.load l WHERE l.period = m.period AND l.status = 'LOADED') AS loads,
       (SELECT max(batch_id || ' ' || state) FROM control.batch b
        WHERE b.period = m.period AND b.kind = 'MONTHEND' AND state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK')) AS open_batch
FROM month m
LEFT JOIN control.period p USING (period)
WHERE NOT control.is_closed(m.period) AND m.due < (%(now)s AT TIME ZONE 'UTC')::date
ORDER BY m.period
