SELECT txn_type, count(*) AS row_count, sum(gross_amount) AS gross_total, sum(tabarru_amount) AS tabarru_total,
       sum(tanahud_amount) AS tanahud_total, sum(ujroh_amount) AS ujroh_total,
       sum(source.txn_hash(ROW(txn.*)::source.txn_source)) AS checksum
FROM {leaf} AS txn
GROUP BY txn_type
ORDER BY txn_type
