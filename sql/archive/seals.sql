-- What the files are proven against, for the manifest.
SELECT b.batch_id, encode(s.root, 'hex') AS root, c.position, encode(c.hash, 'hex') AS hash
FROM control.batch b
JOIN ledger.batch_seal s USING (batch_id)
JOIN ledger.seal_chain c ON c.batch_id = b.batch_id AND c.event = 'POSTED'
WHERE b.period = %(period)s AND b.state = 'COMMITTED'
ORDER BY b.batch_id
