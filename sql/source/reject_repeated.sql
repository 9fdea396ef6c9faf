-- The file has a txn_id twice, in rows too far apart to be judged together: the first one stays.
WITH first_of_several AS (
    SELECT txn_id, min(row_number) AS row_number FROM {leaf} GROUP BY txn_id HAVING count(*) > 1
), taken_out AS (
    DELETE FROM {leaf} AS later
    USING first_of_several
    WHERE later.txn_id = first_of_several.txn_id AND later.row_number > first_of_several.row_number
    RETURNING later.*
)
INSERT INTO source.rejected_row (load_id, row_number, txn_id, reasons, raw)
SELECT load_id, row_number, txn_id, ARRAY['DUPLICATE_TXN_ID'], to_jsonb(taken_out) - '{{period,load_id,row_number}}'::text[]
FROM taken_out
