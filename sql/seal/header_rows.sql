-- Rows as they lie in the table, without an index that could hide some; packed for storage.packed_rows. Dates are days since 1970;
-- an infinite date is no error. What is null although it must not be is no value that is ever sealed.
SELECT count(*),
       string_agg(int4send(coalesce(je_number, -2147483648)), ''),
       string_agg(int4send(CASE WHEN isfinite(je_date) THEN je_date - DATE '1970-01-01' WHEN je_date IS NULL THEN -2147483648
                                ELSE 2147483647 END), ''),
       string_agg(int4send(CASE WHEN isfinite(original_date) THEN original_date - DATE '1970-01-01'
                                WHEN original_date IS NULL THEN -2147483648 ELSE 2147483647 END), ''),
       string_agg(int2send(coalesce(template_id, 0::smallint)), ''),
       string_agg(int2send(coalesce(source_entry, 0::smallint)), ''),
       string_agg(int8send(coalesce(total_amount, -2147483648)), ''),
       convert_to(coalesce(string_agg(source_id, ''), ''), 'UTF8'), string_agg(int4send(coalesce(octet_length(source_id), -1)), '')
FROM ONLY {leaf}
WHERE {condition}
GROUP BY je_number / 16384
