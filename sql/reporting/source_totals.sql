-- What was delivered, by type: what this month's batches posted, late transactions of other months included, because the funds
-- show it here; and apart from it what no batch has posted yet.
SELECT acct.shown_code(t.txn_type) AS txn_type, p.load_id IS NOT NULL AS is_posted, sum(t.row_count) AS transactions, sum(t.gross_total) AS gross_amount,
       sum(t.tabarru_total) AS tabarru_amount, sum(t.tanahud_total) AS tanahud_amount, sum(t.ujroh_total) AS ujroh_amount
FROM source.load_total t
JOIN source.load l USING (load_id)
LEFT JOIN control.load_batch p USING (load_id)
LEFT JOIN control.batch b USING (batch_id)
WHERE coalesce(b.period, l.period) = %(period)s AND l.status = 'LOADED'
GROUP BY 1, is_posted
ORDER BY is_posted DESC, 1
