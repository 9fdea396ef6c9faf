-- An attempt that was replaced meanwhile must not fail its successor.
SELECT control.set_batch_state(batch_id, 'FAILED', %(performed_by)s, %(details)s)
FROM control.batch
WHERE batch_id = %(batch_id)s AND attempt = %(attempt)s AND state IN ('PROCESSING', 'VALIDATING', 'VALIDATED', 'FAILED')
