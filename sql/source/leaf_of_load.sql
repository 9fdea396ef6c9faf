-- The leaf and its parent by name; no row for a load that has no leaf (any more).
SELECT l.leaf::text AS leaf, i.inhparent::regclass::text AS month
FROM source.load l
JOIN pg_inherits i ON i.inhrelid = l.leaf
WHERE l.load_id = %(load_id)s
