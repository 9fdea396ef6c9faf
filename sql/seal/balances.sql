SELECT period, account_code, (opening_balance * 100)::bigint AS opening, (debit * 100)::bigint AS debit,
       (credit * 100)::bigint AS credit, (closing_balance * 100)::bigint AS closing
FROM ledger.account_balance_snapshot
ORDER BY period, account_code
