SELECT w.worker_number, w.first_je_number, w.last_je_number, w.entry_count, w.line_count, m.first_je_number, m.last_je_number,
       m.entry_count, m.line_count, m.debit_total, m.credit_total, m.unbalanced_entries, m.fund_unbalanced_entries,
       m.header_line_mismatches
FROM control.batch_worker w
JOIN control.worker_measure m USING (batch_id, worker_number)
WHERE w.batch_id = %(batch_id)s
ORDER BY w.worker_number
