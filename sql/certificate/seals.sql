SELECT s.batch_id, encode(s.root, 'hex') AS root, c.position, encode(c.hash, 'hex') AS hash
FROM ledger.batch_seal s
LEFT JOIN ledger.seal_chain c ON c.batch_id = s.batch_id AND c.event = 'POSTED'
WHERE s.batch_id = ANY (%(batch_ids)s)
