-- One account's lines in a month, a page at a time, in the order of the entries. The next page: after_entry and after_line are
-- those of the last line of this one (0 and 0 for the first). je_number >= … says nothing new to us, but by it PostgreSQL
-- leaves out the leaves that are done with; it does not see that in the comparison of two columns.
SELECT je_number, line_number, batch_id, account_code, fund, debit_amount, credit_amount
FROM ledger.account_line
WHERE period = %(period)s AND account_id = %(account_id)s
  AND je_number >= %(after_entry)s AND (je_number, line_number) > (%(after_entry)s, %(after_line)s)
ORDER BY je_number, line_number
LIMIT %(page)s
