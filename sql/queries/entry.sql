-- One entry by its number, a row for each line.
SELECT h.period, h.je_number, h.batch_id, h.je_date, h.template_code, h.template_version, h.source_type, h.source_id, h.description,
       h.total_debit, h.total_credit, h.posted_at, l.line_number, l.account_code, l.fund, l.debit_amount, l.credit_amount
FROM ledger.ledger_entry_header h
JOIN ledger.ledger_entry_line l ON l.period = h.period AND l.je_number = h.je_number
WHERE h.period = %(period)s AND h.je_number = %(je_number)s
ORDER BY l.line_number
