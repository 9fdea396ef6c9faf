SELECT h.je_number, h.je_date, h.description, h.source_id, l.account_code, l.debit_amount - l.credit_amount AS amount,
       late.original_date
FROM ledger.ledger_entry_header h
JOIN ledger.ledger_entry_line l ON l.period = h.period AND l.je_number = h.je_number
LEFT JOIN ledger.late_entry late ON late.period = %(period)s AND late.je_number = h.je_number
WHERE h.period = %(period)s AND l.period = %(period)s
ORDER BY h.je_number, l.line_number
