SELECT count(*)::integer, coalesce(max(je_number), 0), coalesce(sum(total_debit), 0), coalesce(sum(total_credit), 0) FROM alternative.header
