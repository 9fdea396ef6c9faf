INSERT INTO acct.journal_template_match (template_id, match_number, product_code, channel, condition_expression, priority)
VALUES (%(template_id)s, %(match_number)s, %(product_code)s, %(channel)s, %(condition)s, %(priority)s)
