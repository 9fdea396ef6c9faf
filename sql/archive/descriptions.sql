-- What the entries of a batch are called, by their template.
SELECT t.template_id, control.entry_description(b, t.description) AS description
FROM control.batch b CROSS JOIN acct.journal_template t
WHERE b.batch_id = %(batch_id)s
