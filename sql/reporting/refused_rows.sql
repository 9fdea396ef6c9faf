-- Refused rows by their first reason, so that the counts add up to the rows. Never their content: it may be personal.
SELECT r.reasons[1] AS reason, count(*) FILTER (WHERE r.status = 'OPEN') AS open,
       count(*) FILTER (WHERE r.status = 'ACKNOWLEDGED') AS acknowledged, count(*) FILTER (WHERE r.status = 'RESOLVED') AS resolved
FROM source.rejected_row r
JOIN source.load l USING (load_id)
WHERE l.period = %(period)s
GROUP BY r.reasons[1]
ORDER BY r.reasons[1]
