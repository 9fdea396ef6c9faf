INSERT INTO control.batch_validation_result (batch_id, attempt, gate, passed, expected, actual, difference, detail, offending)
SELECT batch_id, attempt, %(gate)s, %(passed)s, %(expected)s, %(actual)s, %(difference)s, %(detail)s, %(offending)s
FROM control.batch
WHERE batch_id = %(batch_id)s
