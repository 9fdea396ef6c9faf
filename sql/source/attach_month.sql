-- CREATE TABLE ... PARTITION OF would lock the root against every reader; ATTACH does not.
ALTER TABLE source.txn_source ATTACH PARTITION {month} FOR VALUES IN ({period})
