-- The two checks that name period and load say what the partition says, so ATTACH reads no row.
CREATE TABLE {leaf} (
    LIKE source.txn_source INCLUDING CONSTRAINTS,
    CONSTRAINT is_of_the_period CHECK (period = {period}),
    CONSTRAINT is_of_the_load CHECK (load_id = {load_id}),
    CONSTRAINT has_its_value_date_in_the_period
        CHECK (bank_value_date >= {first_day}::date AND bank_value_date < {first_day_after}::date)
)
