-- A load is written by one transaction, so a row written by another one was changed or added later. (Deleted rows are gone:
-- the verdict's row counts show them.)
WITH written AS (
    SELECT t.load_id, t.row_number, t.txn_id, t.gross_amount, t.tabarru_amount, t.tanahud_amount, t.ujroh_amount,
           t.xmin::text AS written_by
    FROM control.batch_load b
    JOIN source.txn_source t ON t.load_id = b.load_id AND t.period = ANY (%(source_months)s)
    WHERE b.batch_id = %(batch_id)s),
loaded AS (SELECT load_id, mode() WITHIN GROUP (ORDER BY written_by) AS loaded_by FROM written GROUP BY load_id)
SELECT w.load_id, w.row_number, w.txn_id, 'CHANGED_AFTER_LOADING' AS problem, w.gross_amount, w.tabarru_amount,
       w.tanahud_amount, w.ujroh_amount
FROM written w
JOIN loaded l USING (load_id)
WHERE w.written_by <> l.loaded_by
ORDER BY w.load_id, w.row_number
LIMIT %(limit)s
