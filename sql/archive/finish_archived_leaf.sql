SELECT source.finish_archived_leaf(%(archive_id)s, %(load_id)s)
