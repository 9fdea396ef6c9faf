-- What the sensor start_month_close asks at every tick: small tables only, a row or two. The months that could be closed now are
-- the one after the last closed month, and that one itself once more when something new was loaded for it.
WITH last AS (
    SELECT max(period) AS period FROM control.period WHERE status IN ('CLOSED', 'LOCKED')
),
month AS (
    SELECT p.period::text AS period, true AS is_late
    FROM control.period p JOIN last USING (period)
    WHERE p.status = 'CLOSED' AND EXISTS (SELECT FROM control.unprocessed_load u WHERE u.period = p.period)
  UNION ALL
    SELECT coalesce(to_char(to_date(last.period, 'YYYY-MM') + interval '1 month', 'YYYY-MM'), %(first_period)s), false
    FROM last
)
SELECT m.period, m.period <= to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM') AS has_begun,
       NOT m.is_late AND EXISTS (SELECT FROM ledger.period_close c WHERE c.period = m.period) AS is_reopened,
       p.prerequisites, a.announced, l.loads,
       concat_ws('|', p.reports, a.announcements,
                 (SELECT count(*) FROM source.rejected_row r JOIN source.load x USING (load_id)
                  WHERE r.status = 'OPEN' AND x.period IN (SELECT control.months_booked_in(m.period))),
                 (SELECT string_agg(u.load_id::text, ',' ORDER BY u.load_id) FROM control.loads_to_journal(m.period) u WHERE u.period <> m.period),
                 (SELECT md5(string_agg(concat_ws(' ', rule_set, version, content_hash, approved_by), ',' ORDER BY rule_set, version))
                  FROM acct.rule_set)) AS situation
FROM month m
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('name', name, 'status', status,
                                        'since', to_char(reported_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')) ORDER BY name) AS prerequisites,
           (SELECT max(report_id) FROM control.prerequisite_report WHERE period = m.period) AS reports
    FROM control.prerequisites_of(m.period)) AS p
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'period', period, 'txn_type', txn_type, 'agrees', agrees,
               'announced', control.grouped(announced_rows) || ' rows of ' || control.grouped(announced_gross),
               'loaded', control.grouped(loaded_rows) || ' rows of ' || control.grouped(loaded_gross)) ORDER BY period, txn_type), '[]') AS announced,
           max(announcement_id) AS announcements
    FROM control.announced_total
    WHERE period IN (SELECT m.period UNION SELECT u.period FROM control.loads_to_journal(m.period) u)) AS a
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(jsonb_build_object('load_id', load_id, 'status', status, 'file_name', file_name,
                                                 'loaded_at', extract(epoch FROM loaded_at)::float8) ORDER BY load_id), '[]') AS loads
    FROM source.load WHERE period = m.period) AS l
ORDER BY m.period
