-- DuckDB, as everything in this folder. HUGEINT has 128 bits: no month fills it, and if one did, the sum would raise.
CREATE TABLE movement (account_id SMALLINT, debit HUGEINT, credit HUGEINT, lines HUGEINT);
CREATE TABLE account (account_id SMALLINT, account VARCHAR, fund VARCHAR, account_type VARCHAR);
CREATE TABLE opening (account VARCHAR, amount HUGEINT);
