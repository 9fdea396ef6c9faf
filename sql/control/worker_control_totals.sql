SELECT w.worker_number, w.first_je_number AS reserved_first, w.last_je_number AS reserved_last, w.entry_count AS reported_entries,
       w.line_count AS reported_lines, m.first_je_number AS first_number, m.last_je_number AS last_number, m.entry_count AS entries,
       m.line_count AS lines, m.debit_total, m.credit_total, m.unbalanced_entries, m.fund_unbalanced_entries, m.header_line_mismatches,
       w.content_version AS changes
FROM control.batch_worker w
JOIN control.worker_measure m USING (batch_id, worker_number)
WHERE w.batch_id = %(batch_id)s
ORDER BY w.worker_number
