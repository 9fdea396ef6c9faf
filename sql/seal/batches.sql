-- Every batch that is or was part of the books, or that has a seal; `facts` are the header's, from the tables as they are now.
SELECT b.batch_id, b.period, b.kind, b.state, b.reverses_batch_id, b.rule_set, b.rule_version, r.content_hash, b.first_je_number,
       b.last_je_number, b.entry_count, b.line_count, trim_scale(b.source_checksum)::text AS source_checksum,
       s.seal_version, s.header, s.root, s.dictionary_hash, d.content AS dictionary,
       EXISTS (SELECT FROM ledger.batch_before_seals o WHERE o.batch_id = b.batch_id) AS before_seals,
       n.first_je_number AS reserved_first, n.last_je_number AS reserved_last
FROM control.batch b
LEFT JOIN acct.rule_set r ON (r.rule_set, r.version) = (b.rule_set, b.rule_version)
LEFT JOIN ledger.batch_seal s ON s.batch_id = b.batch_id
LEFT JOIN ledger.seal_dictionary d ON d.dictionary_hash = s.dictionary_hash
LEFT JOIN control.sequence_reservation_log n ON n.batch_id = b.batch_id
WHERE b.state IN ('COMMITTED', 'ROLLED_BACK') OR s.batch_id IS NOT NULL
ORDER BY b.period, b.first_je_number, b.batch_id
