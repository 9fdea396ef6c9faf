-- Rows lie in the order of the file: a range of row numbers is a range of pages.
CREATE INDEX ON {leaf} USING brin (row_number)
