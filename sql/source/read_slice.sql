-- Packed column by column for storage.packed_rows, in blocks of some thousand rows. Amounts leave as minor units: exact integers on
-- both sides.
SELECT count(*),
       string_agg(int4send(load_id), ''), string_agg(int4send(row_number), ''),
       convert_to(string_agg(txn_id, ''), 'UTF8'), string_agg(int4send(octet_length(txn_id)), ''),
       convert_to(string_agg(txn_type, ''), 'UTF8'), string_agg(int4send(octet_length(txn_type)), ''),
       convert_to(string_agg(policy_id, ''), 'UTF8'), string_agg(int4send(octet_length(policy_id)), ''),
       convert_to(string_agg(product_code, ''), 'UTF8'), string_agg(int4send(octet_length(product_code)), ''),
       convert_to(string_agg(channel, ''), 'UTF8'), string_agg(int4send(octet_length(channel)), ''),
       string_agg(date_send(txn_date), ''), string_agg(date_send(bank_value_date), ''),
       convert_to(string_agg(currency, ''), 'UTF8'), string_agg(int4send(octet_length(currency)), ''),
       string_agg(int8send((gross_amount * 100)::bigint), ''), string_agg(int8send((tabarru_amount * 100)::bigint), ''),
       string_agg(int8send((tanahud_amount * 100)::bigint), ''), string_agg(int8send((ujroh_amount * 100)::bigint), '')
FROM source.txn_source
WHERE period = {period} AND load_id = {load_id} AND row_number BETWEEN {first_row_number} AND {last_row_number}
GROUP BY row_number / 16384
