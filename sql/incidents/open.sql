-- The open incidents of some kinds: what a later success may end.
SELECT incident_id, kind, subject, period, check_name, last_seen_at
FROM control.incident
WHERE resolved_at IS NULL AND kind = ANY (%(kinds)s)
ORDER BY incident_id
