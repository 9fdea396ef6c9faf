SELECT source.create_leaf(%(load_id)s)
