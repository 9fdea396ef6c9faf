CREATE INDEX ON {leaf} USING brin (bank_value_date)
