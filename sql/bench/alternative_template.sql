SELECT source_type, entry, line_number, side, account_code, fund, component
FROM alternative.template_line WHERE rule_set = %(rule_set)s ORDER BY source_type, entry, line_number
