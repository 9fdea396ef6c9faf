-- Placeholder: its branch writes it.
SELECT;
