-- For the schedule: whether a month is closed, and the one before it (the first month has none).
SELECT control.is_closed(%(period)s) AS is_closed, control.previous_period(%(period)s)::text AS predecessor,
       %(period)s <= %(first_period)s COLLATE "C" OR control.is_closed(control.previous_period(%(period)s)) AS may_start
