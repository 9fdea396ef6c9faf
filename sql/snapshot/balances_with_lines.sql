-- Every account that has a balance or a line, by three routes: the snapshot, the month before, and the lines re-added. Minor units.
SELECT a.account_code, a.fund, a.account_type, a.mirror_account_code,
       (coalesce(s.opening_balance, 0) * 100)::numeric(38, 0), (coalesce(s.debit, 0) * 100)::numeric(38, 0),
       (coalesce(s.credit, 0) * 100)::numeric(38, 0), (coalesce(s.closing_balance, 0) * 100)::numeric(38, 0),
       (coalesce(p.closing_balance, 0) * 100)::numeric(38, 0), coalesce(l.debit, 0), coalesce(l.credit, 0)
FROM acct.chart_of_accounts a
LEFT JOIN ledger.account_balance_snapshot s ON s.account_code = a.account_code AND s.period = %(period)s
LEFT JOIN ledger.account_balance_snapshot p ON p.account_code = a.account_code AND p.period = control.previous_period(%(period)s)
LEFT JOIN (SELECT account_id, sum(amount) FILTER (WHERE amount > 0) AS debit, -sum(amount) FILTER (WHERE amount < 0) AS credit
           FROM ledger.je_line WHERE period = %(period)s GROUP BY account_id) AS l USING (account_id)
WHERE s.account_code IS NOT NULL OR p.account_code IS NOT NULL OR l.account_id IS NOT NULL
ORDER BY a.account_code
