-- The last closed month and when it was closed, the batches that have not ended, and the roles of the ledger that are missing.
SELECT (SELECT max(period) FROM control.period WHERE closed_at IS NOT NULL) AS last_closed_period,
       (SELECT max(closed_at) FROM control.period) AS last_close_at,
       (SELECT coalesce(array_agg(batch_id || ' ' || state ORDER BY batch_id), '{}') FROM control.batch
        WHERE state NOT IN ('COMMITTED', 'ROLLED_BACK', 'ABORTED')) AS open_batches,
       (SELECT coalesce(array_agg(wanted ORDER BY wanted), '{}') FROM unnest(%(roles)s::text[]) AS wanted
        WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted)) AS missing_roles
