SELECT acct.shown_code(t.txn_type) AS txn_type, sum(t.row_count) AS transactions, sum(t.gross_total) AS gross, sum(t.tabarru_total) AS tabarru,
       sum(t.tanahud_total) AS tanahud, sum(t.ujroh_total) AS ujroh
FROM source.load_total t
JOIN source.load l USING (load_id)
WHERE l.period = %(period)s AND l.status = 'LOADED'
GROUP BY 1
ORDER BY 1
