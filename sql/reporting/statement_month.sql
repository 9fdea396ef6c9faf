-- Which months there are to compare with, and where the year to date begins.
SELECT CASE WHEN control.is_closed(control.previous_period(%(period)s)) THEN control.previous_period(%(period)s) END AS previous_period,
       CASE WHEN control.is_closed((left(%(period)s, 4)::integer - 1)::text || '-12')
            THEN (left(%(period)s, 4)::integer - 1)::text || '-12' END AS previous_year_end,
       (SELECT min(s.period) FROM ledger.account_balance_snapshot s
        WHERE s.period >= left(%(period)s, 4) || '-01' AND s.period <= %(period)s) AS since,
       coalesce(control.is_closed(%(period)s), false) AS is_closed
