SELECT account_code, fund, opening_balance, debit, credit, closing_balance
FROM ledger.account_balance_snapshot
WHERE period = %(period)s
ORDER BY account_code
