-- As header_rows.
SELECT count(*),
       string_agg(int4send(coalesce(je_number, -2147483648)), ''),
       string_agg(int2send(coalesce(line_number, 0::smallint)), ''),
       string_agg(int2send(coalesce(account_id, 0::smallint)), ''),
       string_agg(int8send(coalesce(amount, -2147483648)), '')
FROM ONLY {leaf}
WHERE {condition}
GROUP BY je_number / 16384
