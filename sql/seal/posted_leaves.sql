SELECT b.batch_id, b.period, w.worker_number, leaf.what, leaf.oid AS leaf
FROM control.batch b
JOIN control.batch_worker w USING (batch_id),
     LATERAL (VALUES ('headers', w.header_leaf::oid), ('lines', w.line_leaf::oid)) AS leaf (what, oid)
WHERE b.state = 'COMMITTED' AND leaf.oid IS NOT NULL
ORDER BY b.batch_id, w.worker_number
