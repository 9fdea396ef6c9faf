-- The months of the books up to this one.
SELECT period FROM control.period WHERE period COLLATE "C" <= %(period)s ORDER BY period
