SELECT h.je_number, h.je_date, h.source_id, h.template_code, l.line_number, l.account_code, l.fund, l.debit_amount, l.credit_amount
FROM (SELECT * FROM staging.je_header_staging
      WHERE period = %(period)s AND batch_id = %(batch_id)s
        AND je_number < 3 + (SELECT first_je_number FROM control.batch WHERE batch_id = %(batch_id)s)) AS h
JOIN staging.je_line_staging l ON l.period = %(period)s AND l.batch_id = %(batch_id)s AND l.je_number = h.je_number
ORDER BY h.je_number, l.line_number
