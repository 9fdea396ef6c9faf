-- Where a transaction was delivered: every month's leaves are asked by the unique index on the id, since nobody knows its month.
-- With the batch that took its load in, which is NULL as long as none is posted.
SELECT x.txn_id, x.policy_id, x.txn_type, x.product_code, x.channel, x.txn_date, x.bank_value_date, x.gross_amount,
       x.tabarru_amount, x.tanahud_amount, x.ujroh_amount, x.period, x.load_id, x.row_number, d.file_name, p.batch_id
FROM source.txn_source x
JOIN source.load d USING (load_id)
LEFT JOIN control.load_batch p USING (load_id)
WHERE x.txn_id = %(txn_id)s
ORDER BY x.load_id
