SELECT source.withdraw_load(%(load_id)s, %(reason)s, %(by)s)
