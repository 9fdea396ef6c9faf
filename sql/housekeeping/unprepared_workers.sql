-- Posted workers whose lines have no statistics, or no index by account: their close ended before it came to that, or they were
-- restored. (-1: never analyzed.)
SELECT b.batch_id, w.worker_number
FROM control.batch b
JOIN control.batch_worker w USING (batch_id)
JOIN pg_class c ON c.oid = w.line_leaf
WHERE b.state = 'COMMITTED'
  AND (c.reltuples < 0 OR NOT EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am a ON a.oid = x.relam
                                      WHERE i.indrelid = c.oid AND a.amname = 'brin'))
ORDER BY b.batch_id, w.worker_number
