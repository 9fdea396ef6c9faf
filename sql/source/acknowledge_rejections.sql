UPDATE source.rejected_row AS r
SET status = 'ACKNOWLEDGED', resolved_by = %(by)s, resolved_at = now(), resolution = %(reason)s
FROM source.load AS l
WHERE r.load_id = l.load_id AND l.period = %(period)s AND r.status = 'OPEN'
