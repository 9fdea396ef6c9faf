-- Closed months before this one whose last close has no certificate (a year end closes December without one), in the order in
-- which they get theirs.
SELECT p.period FROM control.period p
WHERE p.status IN ('CLOSED', 'LOCKED') AND p.period COLLATE "C" < %(period)s
  AND NOT EXISTS (SELECT FROM ledger.close_certificate c WHERE (c.period, c.close_number) = (p.period, ledger.close_number(p.period)))
ORDER BY p.period
