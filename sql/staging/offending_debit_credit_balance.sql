-- Entries that do not balance as a whole or within a fund, and entries whose header says something else.
WITH entry_fund AS (
    SELECT je_number, coalesce(fund, '(unknown)') AS fund, sum(debit_amount) AS debit, sum(credit_amount) AS credit
    FROM staging.je_line_staging
    WHERE period = %(period)s AND batch_id = %(batch_id)s
    GROUP BY je_number, fund),
entry AS (SELECT je_number, sum(debit) AS debit FROM entry_fund GROUP BY je_number)
(SELECT f.je_number, h.source_id AS txn_id, f.fund, f.debit, f.credit, f.debit - f.credit AS difference
 FROM entry_fund f
 LEFT JOIN staging.je_header_staging h
        ON h.period = %(period)s AND h.batch_id = %(batch_id)s AND h.je_number = f.je_number
 WHERE f.debit <> f.credit
 ORDER BY f.je_number LIMIT %(limit)s)
UNION ALL
(SELECT coalesce(h.je_number, e.je_number), h.source_id, 'header against lines', e.debit, h.total_debit,
        coalesce(e.debit, 0) - coalesce(h.total_debit, 0)
 FROM entry e
 FULL JOIN (SELECT * FROM staging.je_header_staging WHERE period = %(period)s AND batch_id = %(batch_id)s) AS h USING (je_number)
 WHERE e.debit IS DISTINCT FROM h.total_debit
 LIMIT %(limit)s)
LIMIT %(limit)s
