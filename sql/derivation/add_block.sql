-- DuckDB. A block of posted lines, debits positive.
INSERT INTO movement
SELECT account_id, coalesce(sum(amount) FILTER (amount > 0), 0), -coalesce(sum(amount) FILTER (amount < 0), 0), count(*)
FROM block GROUP BY account_id
