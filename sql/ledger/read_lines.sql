-- Packed for storage.packed_rows.
SELECT count(*),
       string_agg(int8send(amount), ''), string_agg(int4send(je_number), ''), string_agg(int2send(line_number), ''),
       string_agg(int2send(account_id), ''),
       convert_to(string_agg(period, ''), 'UTF8'), string_agg(int4send(octet_length(period)), '')
FROM ledger.je_line
WHERE period = {period} AND je_number BETWEEN {first_je_number} AND {last_je_number}
GROUP BY je_number / 16384
