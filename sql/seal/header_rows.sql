-- Rows as they lie in the table, without an index that could hide some. Days since 1970; an infinite date is no error.
SELECT je_number, CASE WHEN isfinite(je_date) THEN je_date - DATE '1970-01-01' ELSE 2147483647 END,
       CASE WHEN isfinite(original_date) THEN original_date - DATE '1970-01-01'
            WHEN original_date IS NOT NULL THEN 2147483647 END,
       template_id, source_entry, total_amount, source_id, (period = {period}) IS TRUE
FROM ONLY {leaf}
