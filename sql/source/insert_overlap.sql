INSERT INTO source.load_overlap (load_id, earlier_load_id, unchanged_count)
VALUES (%(load_id)s, %(earlier_load_id)s, %(unchanged_count)s)
