-- A transaction of a load that is not archived, among the rows that a worker journaled.
SELECT x.txn_id, x.txn_type, x.policy_id, x.product_code, x.channel, x.txn_date, x.bank_value_date, x.gross_amount, x.tabarru_amount,
       x.tanahud_amount, x.ujroh_amount, x.period AS source_period, x.load_id, x.row_number, d.file_name
FROM source.txn_source x
JOIN source.load d USING (load_id)
WHERE x.period = %(source_period)s AND x.load_id = %(load_id)s AND x.txn_id = %(txn_id)s
  AND x.row_number BETWEEN %(first_row_number)s AND %(last_row_number)s
