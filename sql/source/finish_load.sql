SELECT source.finish_load(%(load_id)s, %(row_count)s, %(skipped_count)s, %(unchanged)s, %(loaded_by)s)
