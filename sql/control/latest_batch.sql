SELECT batch_id
FROM control.batch
WHERE period = %(period)s AND kind = 'MONTHEND' AND state NOT IN ('ABORTED', 'ROLLED_BACK')
ORDER BY length(batch_id) DESC, batch_id DESC
LIMIT 1
