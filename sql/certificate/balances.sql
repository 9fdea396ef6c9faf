SELECT account_code AS account, fund, opening_balance AS opening, debit, credit, closing_balance AS closing
FROM ledger.account_balance_snapshot
WHERE period = %(period)s
ORDER BY account_code
