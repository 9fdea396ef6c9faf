CREATE UNIQUE INDEX ON {leaf} (txn_id)
