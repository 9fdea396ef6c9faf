SELECT period, account_code, opening_balance * 100 AS opening, debit * 100 AS debit, credit * 100 AS credit
FROM ledger.account_balance_snapshot
ORDER BY period, account_code
