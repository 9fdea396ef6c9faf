-- When each posted batch of the month was where, in seconds since it was started: how long each step took.
SELECT batch_id, round(extract(epoch FROM processing_at - initiated_at), 3) AS preflight,
       round(extract(epoch FROM validating_at - processing_at), 3) AS staging,
       round(extract(epoch FROM validated_at - validating_at), 3) AS gates,
       round(extract(epoch FROM committed_at - validated_at), 3) AS posting,
       round(extract(epoch FROM committed_at - initiated_at), 3) AS total
FROM control.batch
WHERE period = %(period)s AND state = 'COMMITTED'
ORDER BY batch_id
