-- What was stored is counted here; what was read is told by the reader. The CHECK no_row_is_lost compares the two.
UPDATE source.load AS l
SET row_count = %(row_count)s,
    skipped_count = %(skipped_count)s,
    unchanged_count = %(unchanged_count)s,
    accepted_count = coalesce((SELECT sum(t.row_count) FROM source.load_total t WHERE t.load_id = l.load_id), 0),
    rejected_count = (SELECT count(*) FROM source.rejected_row r WHERE r.load_id = l.load_id),
    checksum = %(checksum)s,
    leaf = %(leaf)s::regclass
WHERE l.load_id = %(load_id)s
