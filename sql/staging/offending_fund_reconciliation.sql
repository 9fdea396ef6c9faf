-- Transactions whose component is not what the lines recognise, entries whose due-to and due-from differ, and lines on
-- accounts that are unknown or closed.
WITH recognised AS (
    SELECT h.source_id, a.recognised_component AS component,
           sum(CASE a.account_type WHEN 'EXPENSE' THEN l.debit_amount - l.credit_amount
                                   ELSE l.credit_amount - l.debit_amount END) AS amount
    FROM staging.je_header_staging h
    JOIN staging.je_line_staging l
      ON l.period = %(period)s AND l.batch_id = %(batch_id)s AND l.je_number = h.je_number
    JOIN acct.chart_of_accounts a ON a.account_code = l.account_code AND a.recognised_type = h.source_type
    WHERE h.period = %(period)s AND h.batch_id = %(batch_id)s
    GROUP BY h.source_id, a.recognised_component),
delivered AS (
    SELECT t.txn_id, c.component, c.amount
    FROM control.batch_load b
    JOIN source.txn_source t ON t.load_id = b.load_id AND t.period = ANY (%(source_months)s),
    LATERAL (VALUES ('tabarru_amount', t.tabarru_amount), ('tanahud_amount', t.tanahud_amount),
                    ('ujroh_amount', t.ujroh_amount)) AS c (component, amount)
    WHERE b.batch_id = %(batch_id)s AND c.amount <> 0)
(SELECT coalesce(d.txn_id, r.source_id) AS txn_id, coalesce(d.component, r.component) AS problem,
        coalesce(d.amount, 0) AS in_source, coalesce(r.amount, 0) AS in_lines, coalesce(r.amount, 0) - coalesce(d.amount, 0) AS difference
 FROM delivered d
 FULL JOIN recognised r ON r.source_id = d.txn_id AND r.component = d.component
 WHERE coalesce(d.amount, 0) <> coalesce(r.amount, 0)
 ORDER BY 1 LIMIT %(limit)s)
UNION ALL
(SELECT 'JE ' || l.je_number, 'DOES_NOT_MIRROR ' || least(a.account_code, a.mirror_account_code) || ' '
        || greatest(a.account_code, a.mirror_account_code), NULL, NULL, sum(l.debit_amount - l.credit_amount)
 FROM staging.je_line_staging l
 JOIN acct.chart_of_accounts a USING (account_code)
 WHERE l.period = %(period)s AND l.batch_id = %(batch_id)s AND a.mirror_account_code IS NOT NULL
 GROUP BY l.je_number, 2
 HAVING sum(l.debit_amount - l.credit_amount) <> 0
 ORDER BY l.je_number LIMIT %(limit)s)
UNION ALL
(SELECT 'JE ' || l.je_number, 'ACCOUNT_UNKNOWN_OR_CLOSED ' || coalesce(l.account_code, ''), NULL, l.debit_amount - l.credit_amount, NULL
 FROM staging.je_line_staging l
 LEFT JOIN acct.chart_of_accounts a USING (account_code)
 WHERE l.period = %(period)s AND l.batch_id = %(batch_id)s AND a.is_open IS NOT TRUE
 LIMIT %(limit)s)
LIMIT %(limit)s
