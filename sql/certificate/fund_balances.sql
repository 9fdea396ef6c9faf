SELECT fund, opening_balance AS opening, income, expense, equity_movement, closing_balance AS closing
FROM ledger.fund_balance
WHERE period = %(period)s
ORDER BY fund
