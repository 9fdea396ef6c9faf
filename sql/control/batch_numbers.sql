SELECT b.first_je_number, p.next_je_number
FROM control.batch b
JOIN control.period p USING (period)
WHERE b.batch_id = %(batch_id)s
