-- Why an entry is what it is, a row for each line: the expression of the rule that made the amount, the version of the rules
-- with who approved it, and the delivered transaction. A reversal is explained by what it takes back; a line of the year
-- end has neither transaction nor expression. The account is another than the template's where an override put it.
WITH RECURSIVE entry AS (
    SELECT * FROM ledger.entry_origin WHERE period = %(period)s AND je_number = %(je_number)s
), staged AS (
    SELECT batch_id, worker_number, reverses_batch_id FROM entry
  UNION ALL
    SELECT b.batch_id, s.worker_number, b.reverses_batch_id FROM staged s JOIN control.batch b ON b.batch_id = s.reverses_batch_id
), txn AS MATERIALIZED (
    SELECT x.*, d.file_name
    FROM entry e
    CROSS JOIN staged s
    JOIN control.batch_worker_slice i ON i.batch_id = s.batch_id AND i.worker_number = s.worker_number
    JOIN source.load d USING (load_id)
    -- LIMIT keeps PostgreSQL from looking into every load for the id before it asks which loads the worker read.
    CROSS JOIN LATERAL (
        SELECT * FROM source.txn_source y
        WHERE y.period = d.period AND y.load_id = d.load_id AND y.txn_id = e.source_id
          AND y.row_number BETWEEN i.first_row_number AND i.last_row_number
        LIMIT 1) AS x
)
SELECT e.je_number, l.line_number, l.account_code, l.fund, l.debit_amount, l.credit_amount,
       e.batch_id, e.worker_number, e.source_id, e.kind, e.rule_set, e.rule_version, r.content_hash, r.approved_by, e.template_code, e.template_version,
       t.side, t.account_code AS template_account_code, t.amount_expression, t.takes_remainder,
       x.txn_id, x.txn_type, x.policy_id, x.product_code, x.channel, x.txn_date, x.bank_value_date, x.gross_amount, x.tabarru_amount,
       x.tanahud_amount, x.ujroh_amount, x.period AS source_period, x.load_id, x.row_number, x.file_name
FROM entry e
JOIN ledger.ledger_entry_line l ON l.period = %(period)s AND l.je_number = %(je_number)s
JOIN acct.rule_set r ON r.rule_set = e.rule_set AND r.version = e.rule_version
LEFT JOIN acct.journal_template_line t
       ON t.template_id = e.template_id AND t.entry_number = e.source_entry AND t.line_number = l.line_number
LEFT JOIN txn x ON true
ORDER BY l.line_number
