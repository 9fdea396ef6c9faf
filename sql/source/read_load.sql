SELECT l.load_id, l.period, l.file_name, l.row_count, l.accepted_count, l.rejected_count, l.skipped_count,
       l.unchanged_count, l.checksum::text AS checksum,
       coalesce((SELECT jsonb_object_agg(by_reason.reason, by_reason.row_count)
                 FROM (SELECT reason, count(*) AS row_count
                       FROM source.rejected_row r, unnest(r.reasons) AS reason
                       WHERE r.load_id = l.load_id
                       GROUP BY reason) AS by_reason), '{}') AS reasons,
       coalesce((SELECT b.period FROM control.load_batch p JOIN control.batch b USING (batch_id) WHERE p.load_id = l.load_id),
                control.month_to_book_in(l.period)) AS booked_in
FROM source.load l
WHERE l.load_id = %(load_id)s
