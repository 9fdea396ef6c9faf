SELECT fund, opening_balance, income, expense, equity_movement, closing_balance
FROM ledger.fund_balance
WHERE period = %(period)s
ORDER BY fund
