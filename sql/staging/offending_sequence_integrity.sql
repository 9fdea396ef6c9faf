-- Where the numbers jump: the numbers before and after each gap.
SELECT previous AS number_before_gap, je_number AS number_after_gap, je_number - previous - 1 AS numbers_missing
FROM (SELECT je_number, lag(je_number, 1, b.first_je_number - 1) OVER (ORDER BY je_number) AS previous
      FROM staging.je_header_staging h
      JOIN control.batch b USING (batch_id)
      WHERE h.period = %(period)s AND h.batch_id = %(batch_id)s) AS numbers
WHERE je_number - previous <> 1
LIMIT %(limit)s
