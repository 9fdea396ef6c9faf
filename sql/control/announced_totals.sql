SELECT txn_type, announced_rows, announced_gross, loaded_rows, loaded_gross, difference_rows, difference_gross, agrees,
       date_trunc('second', announced_at) AS announced_at, announced_by, reference
FROM control.announced_total
WHERE period = %(period)s
ORDER BY txn_type
