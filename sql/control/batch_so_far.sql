SELECT (SELECT coalesce(sum(expected_count), 0)::bigint FROM control.batch_source_count WHERE batch_id = %(batch_id)s),
       (SELECT count(*) FROM control.exception_queue WHERE batch_id = %(batch_id)s AND status = 'OPEN')
