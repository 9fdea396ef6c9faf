-- As before (0019), with one of something told as one.
CREATE OR REPLACE VIEW control.closing_obstacle AS
SELECT control.month_to_book_in(u.period) AS period, 'UNPROCESSED_LOAD' AS kind, 'load ' || u.load_id AS subject,
       format('%s of %s, %s in no posted batch', l.file_name, u.period, CASE u.accepted_count WHEN 1 THEN '1 row' ELSE u.accepted_count || ' rows' END) AS detail,
       format('run ledger-assets close %s (again), or withdraw the load', control.month_to_book_in(u.period)) AS fix
FROM control.unprocessed_load u JOIN source.load l USING (load_id)
UNION ALL
SELECT control.month_to_book_in(l.period), 'REFUSED_ROWS', 'load ' || r.load_id, format('%s of %s, %s open', l.file_name, l.period, CASE r.n WHEN 1 THEN '1 refused row is' ELSE r.n || ' refused rows are' END),
       'deliver the corrections, withdraw the load, or acknowledge them with a reason'
FROM (SELECT load_id, count(*) AS n FROM source.rejected_row WHERE status = 'OPEN' GROUP BY load_id) AS r JOIN source.load l USING (load_id)
UNION ALL
SELECT b.period, 'OPEN_BATCH', b.batch_id, concat_ws(': ', b.state, b.failure_reason),
       format('run ledger-assets close %s again: it goes on where that ended, or stages anew', b.period)
FROM control.batch b
WHERE b.kind <> 'DRYRUN' AND b.state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK')
UNION ALL
SELECT b.period, 'OPEN_EXCEPTIONS', e.batch_id, format('%s: %s', CASE e.n WHEN 1 THEN '1 transaction' ELSE e.n || ' transactions' END, e.reason),
       'mend the rules or withdraw the load, and close the month again'
FROM (SELECT batch_id, reason, count(*) AS n FROM control.exception_queue WHERE status = 'OPEN' GROUP BY batch_id, reason) AS e
JOIN control.batch b USING (batch_id)
WHERE b.kind <> 'DRYRUN' AND b.state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK')
UNION ALL
SELECT m.period, CASE f.rule WHEN 'prerequisites_complete' THEN 'PREREQUISITES' ELSE 'ANNOUNCED_TOTALS' END,
       CASE f.rule WHEN 'prerequisites_complete' THEN 'prerequisites' ELSE 'announced totals' END, f.problem, f.fix
FROM (SELECT period FROM control.period UNION SELECT period FROM source.load UNION SELECT period FROM control.prerequisite_report
      UNION SELECT period FROM control.source_announcement) AS m
CROSS JOIN LATERAL control.prerequisite_failures(m.period) AS f
WHERE NOT control.is_closed(m.period)
  AND NOT EXISTS (SELECT FROM control.batch b WHERE b.period = m.period AND b.kind = 'YEAREND' AND b.state = 'COMMITTED');
