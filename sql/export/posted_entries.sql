SELECT coalesce(sum(entry_count), 0)::bigint FROM control.batch WHERE period = %(period)s AND state = 'COMMITTED'
