UPDATE source.rejected_row
SET status = 'RESOLVED', resolved_by = %(by)s, resolved_at = now(), resolution = 'load withdrawn: ' || %(reason)s
WHERE load_id = %(load_id)s AND status <> 'RESOLVED'
