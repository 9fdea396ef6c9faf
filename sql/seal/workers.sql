-- The workers of a batch and their seals; either may be missing in books that were tampered with.
SELECT worker_number, w.first_je_number, w.last_je_number, w.entry_count, w.line_count,
       w.header_leaf::oid AS header_leaf, w.line_leaf::oid AS line_leaf,
       s.seal_version, s.first_je_number AS sealed_first, s.entry_count AS sealed_entries, s.line_count AS sealed_lines,
       s.dictionary_hash, s.block_hashes, s.root
FROM (SELECT * FROM control.batch_worker WHERE batch_id = %(batch_id)s) AS w
FULL JOIN (SELECT * FROM control.worker_seal WHERE batch_id = %(batch_id)s) AS s USING (worker_number)
ORDER BY worker_number
