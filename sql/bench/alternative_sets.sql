-- Four statements over all rows: entries are numbered, lines staged, and both copied into the ledger.
CREATE TABLE alternative.staged_entry AS
SELECT (row_number() OVER (ORDER BY txn.load_id, txn.row_number, e.entry))::integer AS je_number, e.entry, txn.txn_id, txn.txn_type,
       txn.bank_value_date, txn.gross_amount, txn.tabarru_amount, txn.tanahud_amount, txn.ujroh_amount
FROM (SELECT * FROM source.txn_source WHERE period = {period} ORDER BY load_id, row_number LIMIT {how_many}) AS txn
JOIN (SELECT source_type, entry, bool_or(component = 'gross_amount') AS of_gross, bool_or(component = 'tabarru_amount') AS of_tabarru,
             bool_or(component = 'tanahud_amount') AS of_tanahud, bool_or(component = 'ujroh_amount') AS of_ujroh
      FROM alternative.template_line WHERE rule_set = {rule_set} GROUP BY source_type, entry) AS e ON e.source_type = txn.txn_type
WHERE (of_gross AND gross_amount <> 0) OR (of_tabarru AND tabarru_amount <> 0)
   OR (of_tanahud AND tanahud_amount <> 0) OR (of_ujroh AND ujroh_amount <> 0);

CREATE TABLE alternative.staged_line AS
SELECT je_number, line_number, account_code, fund,
       CASE side WHEN 'DR' THEN amount ELSE 0 END::numeric(18, 2) AS debit_amount,
       CASE side WHEN 'CR' THEN amount ELSE 0 END::numeric(18, 2) AS credit_amount
FROM alternative.staged_entry e
JOIN alternative.template_line t ON t.rule_set = {rule_set} AND t.source_type = e.txn_type AND t.entry = e.entry,
LATERAL (SELECT CASE component WHEN 'gross_amount' THEN gross_amount WHEN 'tabarru_amount' THEN tabarru_amount
                               WHEN 'tanahud_amount' THEN tanahud_amount ELSE ujroh_amount END AS amount) AS worth
WHERE amount <> 0;

ANALYZE alternative.staged_entry, alternative.staged_line;

INSERT INTO alternative.header
SELECT je_number, {period}, e.bank_value_date, e.txn_type, e.txn_id, total_debit, total_credit
FROM alternative.staged_entry e
JOIN (SELECT je_number, sum(debit_amount) AS total_debit, sum(credit_amount) AS total_credit
      FROM alternative.staged_line GROUP BY je_number) AS totals USING (je_number);

INSERT INTO alternative.line
SELECT je_number, line_number, {period}, account_code, fund, debit_amount, credit_amount FROM alternative.staged_line;
