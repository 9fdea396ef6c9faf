SELECT txn_id, txn_type, bank_value_date, gross_amount, tabarru_amount, tanahud_amount, ujroh_amount
FROM source.txn_source WHERE period = {period} ORDER BY load_id, row_number LIMIT {how_many}
