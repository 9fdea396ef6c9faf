INSERT INTO acct.journal_template_line (template_id, entry_number, line_number, side, account_code, fund, amount_expression, takes_remainder)
VALUES (%(template_id)s, %(entry)s, %(line_number)s, %(side)s, %(account_code)s, %(fund)s, %(amount)s, %(takes_remainder)s)
