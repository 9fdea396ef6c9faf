-- A row that was refused for another reason may also bear an id that is taken: say so too.
UPDATE source.rejected_row AS r
SET reasons = r.reasons || ARRAY['DUPLICATE_TXN_ID']
FROM source.txn_source AS txn
WHERE r.load_id = %(load_id)s AND NOT r.reasons @> ARRAY['DUPLICATE_TXN_ID']
  AND txn.period = %(period)s AND txn.txn_id = r.txn_id
  AND (txn.load_id <> r.load_id OR txn.row_number < r.row_number)
