-- Batches of the newest 24 months by month, kind and state.
SELECT period, kind, state, count(*) AS batches
FROM control.batch
WHERE period IN (SELECT period FROM control.period ORDER BY period DESC LIMIT 24)
GROUP BY period, kind, state
ORDER BY period, kind, state
