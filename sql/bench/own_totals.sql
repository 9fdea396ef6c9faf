-- Of the entries up to a number: those of the same transactions, because both number them in the order of the file.
SELECT account_code, fund, count(*), sum(debit_amount), sum(credit_amount)
FROM ledger.ledger_entry_line WHERE period = %(period)s AND je_number <= %(last_number)s GROUP BY account_code, fund ORDER BY account_code
