SELECT amount, je_number, line_number, account_id, period
FROM ledger.je_line
WHERE period = {period} AND je_number BETWEEN {first_je_number} AND {last_je_number}
ORDER BY je_number, line_number
