-- Of the last close alone; ledger.close_difference has them all.
SELECT close_number, account_code, fund, opening_change, debit_change, credit_change, closing_before, closing_after, closing_change
FROM ledger.close_difference
WHERE period = %(period)s AND close_number = (SELECT max(close_number) FROM ledger.period_close WHERE period = %(period)s)
ORDER BY account_code
