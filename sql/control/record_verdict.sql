-- Nothing for an attempt that was replaced meanwhile: the verdict is not about its successor.
INSERT INTO control.batch_validation_result (batch_id, attempt, gate, passed, expected, actual, difference, detail, offending)
SELECT batch_id, attempt, %(gate)s, %(passed)s, %(expected)s, %(actual)s, %(difference)s, %(detail)s, %(offending)s
FROM control.batch
WHERE batch_id = %(batch_id)s AND attempt = %(attempt)s
