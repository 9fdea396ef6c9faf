-- Dropping a partition detaches it.
DROP TABLE {leaf}
