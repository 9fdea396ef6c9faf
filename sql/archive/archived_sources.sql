-- The months some of whose transactions lie in files.
SELECT DISTINCT period FROM control.standing_archive WHERE layer = 'SOURCE' ORDER BY period
