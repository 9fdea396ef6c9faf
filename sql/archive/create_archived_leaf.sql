SELECT source.create_archived_leaf(%(load_id)s, %(to_stay)s)
