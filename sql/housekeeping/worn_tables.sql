-- Tables of the ledger that a VACUUM would do good, and why. Of posted leaves nothing changes: they are written frozen, with their pages
-- marked visible, so that they come up only when that went wrong, or long after, for the age of the oldest transaction in them.
SELECT n.nspname AS schema, c.relname AS name, c.relispartition AS is_leaf, concat_ws('; ', w.dead, w.old, w.hidden) AS why
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
CROSS JOIN LATERAL (SELECT greatest(age(c.relfrozenxid), mxid_age(c.relminmxid)) AS transactions, c.relpages - c.relallvisible AS pages) AS a
CROSS JOIN LATERAL (SELECT
    CASE WHEN s.n_dead_tup >= %(dead_rows)s AND s.n_dead_tup * 5 >= s.n_live_tup
         THEN format('%%s dead rows beside %%s', s.n_dead_tup, s.n_live_tup) END AS dead,
    CASE WHEN a.transactions >= coalesce(%(age)s, current_setting('autovacuum_freeze_max_age')::integer / 2)
         THEN format('its oldest transaction is %%s transactions old', a.transactions) END AS old,
    CASE WHEN a.pages >= %(pages)s AND a.pages * 5 >= c.relpages
         THEN format('%%s of %%s pages are not all-visible', a.pages, c.relpages) END AS hidden) AS w
WHERE c.relkind = 'r' AND n.nspname IN ('source', 'acct', 'staging', 'ledger', 'control', 'audit', 'quarantine')
  AND num_nonnulls(w.dead, w.old, w.hidden) > 0
ORDER BY a.transactions DESC, 1, 2
