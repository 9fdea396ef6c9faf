-- Amounts leave as minor units: exact integers on both sides, and half the bytes.
SELECT load_id, row_number, txn_id, txn_type, policy_id, product_code, channel, txn_date, bank_value_date, currency,
       (gross_amount * 100)::bigint AS gross_amount, (tabarru_amount * 100)::bigint AS tabarru_amount,
       (tanahud_amount * 100)::bigint AS tanahud_amount, (ujroh_amount * 100)::bigint AS ujroh_amount
FROM source.txn_source
WHERE period = {period} AND load_id = {load_id} AND row_number BETWEEN {first_row_number} AND {last_row_number}
