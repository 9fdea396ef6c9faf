-- Every line of a leaf: its account and its amount, packed for storage.packed_rows.
SELECT count(*), string_agg(int2send(account_id), ''), string_agg(int8send(amount), '')
FROM {leaf}
GROUP BY je_number / 16384
