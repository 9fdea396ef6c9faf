-- Major units become minor units here: exact, the source keeps two decimals.
SELECT acct.shown_code(t.txn_type), sum(t.row_count)::bigint, (sum(t.tabarru_total) * 100)::numeric(38, 0),
       (sum(t.tanahud_total) * 100)::numeric(38, 0), (sum(t.ujroh_total) * 100)::numeric(38, 0)
FROM control.batch_load b
JOIN control.load_measure_total t USING (load_id)
WHERE b.batch_id = %(batch_id)s
GROUP BY 1
