-- As the last close took them: what stands until the month is closed again.
SELECT account_code, fund, opening_balance, debit, credit, closing_balance
FROM ledger.closed_balance
WHERE period = %(period)s AND close_number = (SELECT max(close_number) FROM ledger.period_close WHERE period = %(period)s)
ORDER BY account_code
