SELECT name, stands, expected_entries, posted_entries, posted_lines, entries, lines, unequal_accounts
FROM control.origin_totals(%(batch_id)s)
