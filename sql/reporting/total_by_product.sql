SELECT source.total_by_product(%(period)s)
