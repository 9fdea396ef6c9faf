SELECT header_leaf, line_leaf
FROM staging.create_leaves(%(batch_id)s, %(attempt)s, %(worker_number)s, %(first_je_number)s, %(last_je_number)s)
