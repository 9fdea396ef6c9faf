-- A batch that somebody is at. One whose staging was killed is nobody's, and keeps no one waiting.
SELECT b.batch_id, b.state
FROM control.batch b
WHERE b.state IN ('INITIATED', 'PREFLIGHT', 'PROCESSING', 'VALIDATING', 'VALIDATED')
  AND (b.state <> 'PROCESSING' OR control.stager_of(b.batch_id, b.attempt) IS NOT NULL)
ORDER BY b.initiated_at LIMIT 1
