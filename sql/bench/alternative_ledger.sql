-- A ledger as it is usually laid out: amounts as numeric, accounts as text, the keys there from the start.
-- No foreign keys, no checks: nothing that would slow the alternatives down and that their rows could do without.
CREATE TABLE alternative.header (
    je_number    integer        PRIMARY KEY,
    period       text           NOT NULL,
    je_date      date           NOT NULL,
    source_type  text           NOT NULL,
    source_id    text           NOT NULL,
    total_debit  numeric(18, 2) NOT NULL,
    total_credit numeric(18, 2) NOT NULL
);
CREATE TABLE alternative.line (
    je_number     integer        NOT NULL,
    line_number   smallint       NOT NULL,
    period        text           NOT NULL,
    account_code  text           NOT NULL,
    fund          text           NOT NULL,
    debit_amount  numeric(18, 2) NOT NULL,
    credit_amount numeric(18, 2) NOT NULL,
    PRIMARY KEY (je_number, line_number)
);
