-- The balances that the statements of a month are made of, with what the chart says of each account; minor units, debits positive.
-- A year end carries income and expense to the surplus: what it moved stands apart, because it is neither.
WITH month AS (
    SELECT %(period)s::text COLLATE "C" AS period, control.previous_period(%(period)s) COLLATE "C" AS previous,
           left(%(period)s, 4) || '-01' COLLATE "C" AS january, (left(%(period)s, 4)::integer - 1)::text || '-12' COLLATE "C" AS december
), carried AS (
    SELECT m.account_id, b.period, sum(m.debit_total - m.credit_total) AS minor
    FROM control.batch b JOIN control.worker_measure_account m USING (batch_id), month
    WHERE b.kind = 'YEAREND' AND b.state = 'COMMITTED' AND b.period BETWEEN least(january, previous) AND month.period
    GROUP BY m.account_id, b.period
), moved AS (
    SELECT s.account_code, sum(s.debit - s.credit) * 100 AS minor
    FROM ledger.account_balance_snapshot s, month
    WHERE s.period BETWEEN january AND month.period
    GROUP BY s.account_code
)
SELECT a.account_code, a.description, a.account_type, a.fund, a.mirror_account_code, a.recognised_type,
       (coalesce(s.opening_balance, 0) * 100)::numeric(38, 0) AS opening, (coalesce(s.debit, 0) * 100)::numeric(38, 0) AS debit,
       (coalesce(s.credit, 0) * 100)::numeric(38, 0) AS credit, coalesce(c.minor, 0)::numeric(38, 0) AS carried,
       CASE WHEN control.is_closed(previous)
            THEN (coalesce(p.debit - p.credit, 0) * 100 - coalesce(pc.minor, 0))::numeric(38, 0) END AS previous_month,
       (coalesce(moved.minor, 0) - coalesce(y.minor, 0))::numeric(38, 0) AS year_to_date,
       CASE WHEN control.is_closed(december) THEN (coalesce(d.closing_balance, 0) * 100)::numeric(38, 0) END AS previous_year_end
FROM month
CROSS JOIN acct.chart_of_accounts a
LEFT JOIN ledger.account_balance_snapshot s ON s.period = month.period AND s.account_code = a.account_code
LEFT JOIN ledger.account_balance_snapshot p ON p.period = previous AND p.account_code = a.account_code
LEFT JOIN ledger.account_balance_snapshot d ON d.period = december AND d.account_code = a.account_code
LEFT JOIN moved ON moved.account_code = a.account_code
LEFT JOIN carried c ON c.period = month.period AND c.account_id = a.account_id
LEFT JOIN carried pc ON pc.period = previous AND pc.account_id = a.account_id
LEFT JOIN (SELECT account_id, sum(minor) AS minor FROM carried, month WHERE carried.period >= january GROUP BY account_id) AS y
       ON y.account_id = a.account_id
WHERE s.account_code IS NOT NULL OR p.account_code IS NOT NULL OR d.account_code IS NOT NULL
ORDER BY a.account_code
