-- The schemas, the calendar of the books, and the accounting rules as data (B2).

CREATE SCHEMA source;
CREATE SCHEMA acct;
CREATE SCHEMA staging;
CREATE SCHEMA ledger;
CREATE SCHEMA control;
CREATE SCHEMA audit;

COMMENT ON SCHEMA source  IS 'What the business systems delivered: transactions as loaded, and the rows that were refused.';
COMMENT ON SCHEMA acct    IS 'The accounting rules: chart of accounts, journal templates, overrides, approvals.';
COMMENT ON SCHEMA staging IS 'Journal entries of a batch that is not posted yet.';
COMMENT ON SCHEMA ledger  IS 'The books: posted entries (append-only) and the balances derived from them.';
COMMENT ON SCHEMA control IS 'How a close runs: periods, batches, workers, gates, exceptions, number ranges.';
COMMENT ON SCHEMA audit   IS 'Who did what, when, and with which outcome.';

-- A period is a month written as text, `2025-01`: what people type, and a partition key that needs no translation.
CREATE DOMAIN control.period_key AS text COLLATE "C" CHECK (VALUE ~ '^[0-9]{4}-(0[1-9]|1[0-2])$');

CREATE FUNCTION control.previous_period(period text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN to_char(to_date(period, 'YYYY-MM') - interval '1 month', 'YYYY-MM');

CREATE FUNCTION control.period_suffix(period text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN replace(period, '-', '_');

CREATE TABLE control.period (
    period         control.period_key PRIMARY KEY,
    status         text    NOT NULL DEFAULT 'OPEN' CHECK (status IN ('OPEN', 'CLOSED')),
    -- The first number that no posted entry of the month bears. It moves in the posting transaction and nowhere else,
    -- so an abandoned batch leaves no gap.
    next_je_number integer NOT NULL DEFAULT 1 CHECK (next_je_number > 0),
    closed_at      timestamptz,
    CHECK ((status = 'CLOSED') = (closed_at IS NOT NULL))
);
COMMENT ON TABLE control.period IS 'The months of the books. CLOSED = its balances are taken and carried to the next month.';

CREATE TABLE acct.chart_of_accounts (
    account_id           smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_code         text    NOT NULL UNIQUE,
    description          text    NOT NULL,
    account_type         text    NOT NULL CHECK (account_type IN ('ASSET', 'LIABILITY', 'EQUITY', 'INCOME', 'EXPENSE')),
    fund                 text    NOT NULL,
    is_open              boolean NOT NULL DEFAULT true,
    mirror_account_code  text,
    recognised_type      text,
    recognised_component text CHECK (recognised_component IN ('tabarru_amount', 'tanahud_amount', 'ujroh_amount')),
    CHECK ((recognised_type IS NULL) = (recognised_component IS NULL))
);
COMMENT ON TABLE acct.chart_of_accounts IS 'Every account belongs to exactly one fund; lines store account_id (2 bytes) and take the fund from here.';
COMMENT ON COLUMN acct.chart_of_accounts.mirror_account_code IS 'The other side of a due-to/due-from pair; the two always add up to zero.';
COMMENT ON COLUMN acct.chart_of_accounts.recognised_component IS 'The source component that this income or expense account recognises, for source type recognised_type.';

CREATE TABLE acct.rule_set (
    rule_set     text        NOT NULL,
    version      integer     NOT NULL CHECK (version > 0),
    prepared_by  text        NOT NULL,
    content_hash text        NOT NULL CHECK (content_hash ~ '^[0-9a-f]{64}$'),
    stored_at    timestamptz NOT NULL DEFAULT now(),
    approved_by  text,
    approved_at  timestamptz,
    PRIMARY KEY (rule_set, version),
    CHECK (approved_by <> prepared_by),
    CHECK ((approved_by IS NULL) = (approved_at IS NULL))
);
COMMENT ON TABLE acct.rule_set IS 'A version of the rules. It posts only after a second person approved exactly this content (content_hash).';

CREATE TABLE acct.journal_template (
    template_id       smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_set          text    NOT NULL,
    rule_version      integer NOT NULL,
    template_code     text    NOT NULL,
    version           integer NOT NULL CHECK (version > 0),
    source_type       text    NOT NULL,
    description       text    NOT NULL,
    effective_from    date    NOT NULL,
    effective_to      date,
    requires_approval boolean NOT NULL DEFAULT true,
    is_enabled        boolean NOT NULL DEFAULT true,
    UNIQUE (rule_set, rule_version, template_code, version),
    FOREIGN KEY (rule_set, rule_version) REFERENCES acct.rule_set,
    CHECK (effective_to >= effective_from)
);

CREATE TABLE acct.journal_template_match (
    template_id          smallint NOT NULL REFERENCES acct.journal_template ON DELETE CASCADE,
    match_number         smallint NOT NULL,
    product_code         text,
    channel              text,
    condition_expression text,
    priority             integer  NOT NULL,
    PRIMARY KEY (template_id, match_number)
);
COMMENT ON TABLE acct.journal_template_match IS 'NULL product or channel = any. The smallest priority number wins; two equal ones are an exception.';

CREATE TABLE acct.journal_template_line (
    template_id       smallint NOT NULL REFERENCES acct.journal_template ON DELETE CASCADE,
    entry_number      smallint NOT NULL CHECK (entry_number > 0),
    line_number       smallint NOT NULL CHECK (line_number > 0),
    side              text     NOT NULL CHECK (side IN ('DR', 'CR')),
    account_code      text     NOT NULL REFERENCES acct.chart_of_accounts (account_code),
    fund              text     NOT NULL,
    amount_expression text     NOT NULL,
    takes_remainder   boolean  NOT NULL DEFAULT false,
    PRIMARY KEY (template_id, entry_number, line_number)
);

CREATE TABLE acct.product (
    rule_set     text    NOT NULL,
    rule_version integer NOT NULL,
    product_code text    NOT NULL,
    PRIMARY KEY (rule_set, rule_version, product_code),
    FOREIGN KEY (rule_set, rule_version) REFERENCES acct.rule_set
);
COMMENT ON TABLE acct.product IS 'The products that a rule set promises to cover.';

CREATE TABLE acct.product_account_map (
    rule_set                 text    NOT NULL,
    rule_version             integer NOT NULL,
    product_code             text    NOT NULL,
    channel                  text    NOT NULL DEFAULT '*',
    account_code             text    NOT NULL REFERENCES acct.chart_of_accounts (account_code),
    replacement_account_code text    NOT NULL REFERENCES acct.chart_of_accounts (account_code),
    PRIMARY KEY (rule_set, rule_version, product_code, channel, account_code),
    FOREIGN KEY (rule_set, rule_version) REFERENCES acct.rule_set
);
COMMENT ON TABLE acct.product_account_map IS 'For this product (and channel, * = any) the replacement account is used instead of the template''s.';
