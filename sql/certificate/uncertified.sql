-- Closed months before this one that have no certificate, in the order in which they get theirs.
SELECT p.period FROM control.period p
WHERE p.status IN ('CLOSED', 'LOCKED') AND p.period COLLATE "C" < %(period)s
  AND NOT EXISTS (SELECT FROM ledger.close_certificate c WHERE c.period = p.period)
ORDER BY p.period
