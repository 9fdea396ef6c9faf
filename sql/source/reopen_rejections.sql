-- The load that brought these rows in order is gone: somebody has to look at them again.
UPDATE source.rejected_row
SET status = 'OPEN', resolved_by = NULL, resolved_at = NULL, resolution = NULL, resolved_by_load = NULL
WHERE resolved_by_load = %(load_id)s
