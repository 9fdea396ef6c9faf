-- Late transactions of this month that are booked elsewhere, and of other months that are booked here.
SELECT l.period AS original_period, b.period AS booked_in, b.batch_id, sum(t.row_count) AS transactions, sum(t.gross_total) AS gross_amount
FROM control.load_batch p
JOIN control.batch b USING (batch_id)
JOIN source.load l USING (load_id)
JOIN source.load_total t USING (load_id)
WHERE l.period <> b.period AND (l.period = %(period)s OR b.period = %(period)s)
GROUP BY l.period, b.period, b.batch_id
ORDER BY l.period, b.batch_id
