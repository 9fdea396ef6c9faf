SELECT r.reasons[1], count(*)
FROM source.rejected_row r
JOIN source.load l USING (load_id)
WHERE l.period IN (SELECT control.months_booked_in(%(period)s)) AND r.status = 'OPEN'
GROUP BY 1
