-- Rows that do not say that they are of the period.
SELECT count(*) FROM ONLY {leaf} WHERE {condition} AND (period = {period}) IS NOT TRUE
