-- The balances of the month with what the chart says about each account. `derived` is what year ends and reversals moved on it
-- (debits positive): it comes from other postings, not from a transaction that was delivered.
SELECT s.account_code, a.description, s.fund, s.opening_balance, s.debit, s.credit, s.closing_balance,
       a.account_type, a.recognised_type, a.recognised_component, coalesce(d.moved, 0)::numeric(38, 2) AS derived
FROM ledger.account_balance_snapshot s
JOIN acct.chart_of_accounts a USING (account_code)
LEFT JOIN (
    SELECT m.account_id, sum(m.debit_total - m.credit_total) * 0.01 AS moved
    FROM control.batch b JOIN control.worker_measure_account m USING (batch_id)
    WHERE b.period = %(period)s AND b.state = 'COMMITTED' AND b.kind IN ('YEAREND', 'REVERSAL')
    GROUP BY m.account_id) AS d USING (account_id)
WHERE s.period = %(period)s
ORDER BY s.fund, s.account_code
