CREATE TEMPORARY TABLE IF NOT EXISTS incoming ON COMMIT DROP AS
SELECT row_number, txn_id, txn_type, policy_id, product_code, channel, txn_date, bank_value_date, currency,
       gross_amount, tabarru_amount, tanahud_amount, ujroh_amount
FROM source.txn_source
WITH NO DATA
