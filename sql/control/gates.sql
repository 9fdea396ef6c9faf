-- The last verdict of each gate for each batch of the month.
SELECT DISTINCT ON (v.batch_id, v.gate) v.batch_id, v.attempt, v.gate, v.passed, v.expected, v.actual, v.difference, v.detail
FROM control.batch_validation_result v
JOIN control.batch b USING (batch_id)
WHERE b.period = %(period)s
ORDER BY v.batch_id, v.gate, v.validation_id DESC
