-- The rows whose txn_id an earlier load of the month has, and whether that one says the same.
SELECT new.row_number, old.load_id AS earlier_load_id,
       (new.txn_type, new.policy_id, new.product_code, new.channel, new.txn_date, new.bank_value_date, new.currency,
        new.gross_amount, new.tabarru_amount, new.tanahud_amount, new.ujroh_amount)
       = (old.txn_type, old.policy_id, old.product_code, old.channel, old.txn_date, old.bank_value_date, old.currency,
          old.gross_amount, old.tabarru_amount, old.tanahud_amount, old.ujroh_amount) AS is_unchanged
FROM pg_temp.incoming AS new
JOIN source.txn_source AS old ON old.txn_id = new.txn_id
WHERE old.period = %(period)s
