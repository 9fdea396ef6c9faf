SELECT m.period, coalesce(p.status, 'OPEN') AS status, date_trunc('second', p.closed_at) AS closed_at,
       control.month_to_book_in(m.period) AS late_transactions_booked_in
FROM (VALUES (%(period)s)) AS m (period)
LEFT JOIN control.period p USING (period)
