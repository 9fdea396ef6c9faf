-- The month itself, also when nobody has touched it yet: one row always.
SELECT m.period, coalesce(p.status, 'OPEN') AS status, p.closed_at, c.performed_by AS closed_by,
       (SELECT currency FROM source.book_currency) AS currency, now() AS as_of
FROM (VALUES (%(period)s)) AS m (period)
LEFT JOIN control.period p ON p.period = m.period
LEFT JOIN LATERAL (
    SELECT o.performed_by
    FROM audit.batch_operation o
    WHERE o.period = p.period AND o.operation IN ('CLOSE_PERIOD', 'RECLOSE_PERIOD') AND p.status IN ('CLOSED', 'LOCKED')
    ORDER BY o.operation_id DESC
    LIMIT 1) AS c ON true
