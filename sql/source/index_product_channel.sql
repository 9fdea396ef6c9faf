CREATE INDEX ON {leaf} (product_code, channel)
