SELECT je_number, line_number, account_id, amount, (period = {period}) IS TRUE FROM ONLY {leaf}
