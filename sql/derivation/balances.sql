-- DuckDB. Every account that had a balance or has a line; one that the chart does not know is named by its id.
WITH moved AS (SELECT account_id, sum(debit) AS debit, sum(credit) AS credit FROM movement GROUP BY account_id)
SELECT coalesce(a.account, o.account, 'account_id ' || m.account_id), coalesce(a.fund, '(none)'),
       coalesce(a.account_type, '(none)'),
       coalesce(o.amount, 0), coalesce(m.debit, 0), coalesce(m.credit, 0),
       coalesce(o.amount, 0) + coalesce(m.debit, 0) - coalesce(m.credit, 0)
FROM account a
FULL JOIN moved m ON m.account_id = a.account_id
FULL JOIN opening o ON o.account = a.account
WHERE m.account_id IS NOT NULL OR o.account IS NOT NULL
ORDER BY ALL
