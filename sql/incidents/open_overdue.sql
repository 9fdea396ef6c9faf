-- The months of open incidents that `note_overdue` has opened: what other programs report as overdue is theirs to end.
SELECT DISTINCT i.subject FROM control.incident i JOIN control.incident_history h USING (incident_id)
WHERE i.kind = 'CLOSE_OVERDUE' AND i.resolved_at IS NULL AND starts_with(h.occurrence, 'overdue:')
ORDER BY i.subject
