-- Months that should be closed by now, and are not. A month counts when something of it was loaded, reported or announced. Of the
-- others that lie between such a month, or a closed one, and one that counts, only the one that is the next to be closed: it holds
-- the later ones up, and one message says so. A month that has not begun holds nothing up: somebody mistyped it.
WITH active AS (
    SELECT period::text AS period FROM source.load WHERE status = 'LOADED'
    UNION SELECT period::text FROM control.prerequisite_report
    UNION SELECT period::text FROM control.source_announcement
),
begun AS (
    SELECT max(period COLLATE "C") AS last FROM active WHERE period <= to_char(%(now)s AT TIME ZONE 'UTC', 'YYYY-MM') COLLATE "C"
),
known AS (
    SELECT min(period COLLATE "C") AS first
    FROM (SELECT period FROM active UNION SELECT period::text FROM control.period WHERE control.is_closed(period)) AS x
),
month AS (
    SELECT to_char(day, 'YYYY-MM') AS period, (day + interval '1 month')::date + (%(due_day)s - 1) AS due
    FROM known, generate_series(to_date(greatest(known.first COLLATE "C", %(first_period)s), 'YYYY-MM')::timestamp,
                                to_date((SELECT last FROM begun), 'YYYY-MM')::timestamp, interval '1 month') AS day
),
open_month AS (
    SELECT m.*, m.period = min(m.period COLLATE "C") OVER () AS is_next FROM month m WHERE NOT control.is_closed(m.period)
)
SELECT m.period, m.due, (%(now)s AT TIME ZONE 'UTC')::date - m.due AS days_late, coalesce(p.status, 'OPEN') AS status,
       (SELECT count(*) FROM source.load l WHERE l.period = m.period AND l.status = 'LOADED') AS loads,
       (SELECT max(batch_id || ' ' || state) FROM control.batch b
        WHERE b.period = m.period AND b.kind = 'MONTHEND' AND state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK')) AS open_batch
FROM open_month m
LEFT JOIN control.period p USING (period)
WHERE (m.is_next OR m.period IN (SELECT period FROM active)) AND m.due < (%(now)s AT TIME ZONE 'UTC')::date
ORDER BY m.period
