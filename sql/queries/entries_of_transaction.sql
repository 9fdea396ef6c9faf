-- The entries that were made of a transaction, among those of the worker that journaled it: headers have no index of
-- source_id, so the numbers are what leaves out every leaf but one.
SELECT je_number
FROM ledger.je_header
WHERE period = %(period)s AND je_number BETWEEN %(first_je_number)s AND %(last_je_number)s AND source_id = %(txn_id)s
ORDER BY je_number
