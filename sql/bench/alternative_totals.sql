SELECT account_code, fund, count(*), sum(debit_amount), sum(credit_amount) FROM alternative.line GROUP BY account_code, fund ORDER BY account_code
