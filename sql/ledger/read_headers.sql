-- Packed for storage.packed_rows.
SELECT count(*),
       string_agg(int8send(total_amount), ''), string_agg(int4send(je_number), ''), string_agg(date_send(je_date), ''),
       string_agg(int2send(template_id), ''), string_agg(int2send(source_entry), ''),
       convert_to(string_agg(period, ''), 'UTF8'), string_agg(int4send(octet_length(period)), ''),
       convert_to(string_agg(source_id, ''), 'UTF8'), string_agg(int4send(octet_length(source_id)), ''),
       string_agg(date_send(coalesce(original_date, '-infinity')), '')
FROM ledger.je_header
WHERE period = {period} AND je_number BETWEEN {first_je_number} AND {last_je_number}
GROUP BY je_number / 16384
