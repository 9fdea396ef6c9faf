-- Transactions of the batch's loads without an entry (with the exception that says why), entries without a transaction, and
-- rows that were changed by hand: a worker writes its leaves and its checkpoint in one transaction, so a row that another one
-- wrote came later. (Deleted rows are gone: the verdict's counts show them.)
(SELECT t.load_id, t.row_number, t.txn_id, coalesce(e.reason, 'NOT_JOURNALED') AS problem,
        coalesce(e.detail, 'the transaction has no journal entry') AS detail
 FROM control.batch_load b
 JOIN source.txn_source t ON t.load_id = b.load_id AND t.period = ANY (%(source_months)s)
 LEFT JOIN control.exception_queue e
        ON e.batch_id = b.batch_id AND e.status = 'OPEN' AND e.load_id = t.load_id AND e.row_number = t.row_number
 WHERE b.batch_id = %(batch_id)s
   AND NOT EXISTS (SELECT FROM staging.je_header_staging h
                   WHERE h.period = %(period)s AND h.batch_id = %(batch_id)s AND h.source_id = t.txn_id)
 LIMIT %(limit)s)
UNION ALL
(SELECT NULL, h.je_number, h.source_id, 'NO_SOURCE', 'the journal entry has no transaction in the source'
 FROM staging.je_header_staging h
 WHERE h.period = %(period)s AND h.batch_id = %(batch_id)s
   AND NOT EXISTS (SELECT FROM control.batch_load b JOIN source.txn_source t ON t.load_id = b.load_id
                   WHERE b.batch_id = %(batch_id)s AND t.period = ANY (%(source_months)s) AND t.txn_id = h.source_id)
 LIMIT %(limit)s)
UNION ALL
(SELECT NULL, je_number, NULL, 'CHANGED_BY_HAND', changed
 FROM control.batch b
 JOIN control.batch_worker w USING (batch_id)
 JOIN control.batch_checkpoint c USING (batch_id, worker_number, attempt),
 LATERAL (SELECT h.je_number, 'the header of the entry' AS changed FROM staging.je_header h
          WHERE h.tableoid = w.header_leaf AND h.xmin::text <> c.xmin::text
          UNION ALL
          SELECT l.je_number, 'line ' || l.line_number FROM staging.je_line l
          WHERE l.tableoid = w.line_leaf AND l.xmin::text <> c.xmin::text) AS row
 WHERE b.batch_id = %(batch_id)s AND w.content_version > 0
 ORDER BY je_number LIMIT %(limit)s)
LIMIT %(limit)s
