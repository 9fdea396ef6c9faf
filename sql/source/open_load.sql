-- The counts follow when the rows are in; nobody sees them before.
INSERT INTO source.load (period, file_name, file_sha256, mapping_sha256, loaded_by,
                         row_count, accepted_count, rejected_count, skipped_count, unchanged_count, checksum)
VALUES (%(period)s, %(file_name)s, %(file_sha256)s, %(mapping_sha256)s, %(loaded_by)s, 0, 0, 0, 0, 0, 0)
RETURNING load_id
