SELECT batch_id
FROM control.batch
WHERE period = %(period)s AND kind = 'MONTHEND'
ORDER BY batch_id DESC
LIMIT 1
