SELECT total_amount, je_number, je_date, template_id, source_entry, period, source_id, original_date
FROM ledger.je_header
WHERE period = {period} AND je_number BETWEEN {first_je_number} AND {last_je_number}
ORDER BY je_number
