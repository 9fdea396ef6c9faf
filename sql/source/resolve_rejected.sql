-- What was refused before and has now been delivered in order needs nobody's attention any more.
UPDATE source.rejected_row AS r
SET status = 'RESOLVED', resolved_by = %(loaded_by)s, resolved_at = now(), resolved_by_load = %(load_id)s,
    resolution = format('accepted in load %%s', %(load_id)s::integer)
FROM source.load AS refused, source.txn_source AS accepted
WHERE r.load_id = refused.load_id AND refused.period = %(period)s AND refused.load_id <> %(load_id)s
  AND r.status <> 'RESOLVED'
  AND accepted.period = %(period)s AND accepted.load_id = %(load_id)s AND accepted.txn_id = r.txn_id
