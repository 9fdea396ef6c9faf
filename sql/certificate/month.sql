-- What the certificate says of the month as a whole: one row always.
SELECT ledger.is_closed(m.period) AS is_closed, ledger.close_number(m.period) AS close_number,
       control.previous_period(m.period) AS previous_period, ledger.is_closed(control.previous_period(m.period)) AS follows_a_close,
       (SELECT currency FROM source.book_currency) AS currency
FROM (VALUES (%(period)s)) AS m (period)
