-- How a close runs: batches, their workers, their control totals, their gates, and the trail of operations (A1, A3, A4, A9).

CREATE TABLE audit.batch_operation (
    operation_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id         text,
    period           text,
    operation        text        NOT NULL,
    performed_by     text        NOT NULL,
    performed_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    client_address   inet                 DEFAULT inet_client_addr(),
    client_agent     text        NOT NULL DEFAULT current_setting('application_name'),
    database_role    text        NOT NULL DEFAULT session_user,
    state_before     text,
    state_after      text,
    outcome          text        NOT NULL CHECK (outcome IN ('SUCCESS', 'FAILED')),
    details          jsonb       NOT NULL DEFAULT '{}'
);

CREATE FUNCTION audit.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on %.% is refused: the table is append-only', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege', HINT = 'Write a new row that corrects the old one.';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.batch_operation
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();

CREATE TABLE control.batch (
    batch_id         text        PRIMARY KEY,
    period           control.period_key NOT NULL REFERENCES control.period,
    kind             text        NOT NULL CHECK (kind IN ('MONTHEND', 'DRYRUN')),
    -- Staging a batch again replaces it: same id, next attempt. A worker of an earlier attempt can no longer write.
    attempt          integer     NOT NULL DEFAULT 1,
    state            text        NOT NULL CHECK (state IN ('INITIATED', 'PREFLIGHT', 'PROCESSING', 'VALIDATING', 'VALIDATED',
                                                           'COMMITTED', 'FAILED', 'ABORTED', 'ROLLED_BACK')),
    rule_set         text        NOT NULL,
    rule_version     integer     NOT NULL,
    first_je_number  integer     NOT NULL,
    last_je_number   integer,
    entry_count      bigint,
    line_count       bigint,
    source_checksum  numeric     NOT NULL DEFAULT 0,
    failure_reason   text,
    started_by       text        NOT NULL,
    run_id           text,
    initiated_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    preflight_at     timestamptz,
    processing_at    timestamptz,
    validating_at    timestamptz,
    validated_at     timestamptz,
    committed_at     timestamptz,
    failed_at        timestamptz,
    aborted_at       timestamptz,
    rolled_back_at   timestamptz,
    FOREIGN KEY (rule_set, rule_version) REFERENCES acct.rule_set
);
CREATE INDEX ON control.batch (period);
-- One open batch a month: its numbers start where the posted ones end, so two could not both be posted.
CREATE UNIQUE INDEX one_open_batch_per_period ON control.batch (period)
    WHERE kind = 'MONTHEND' AND state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK');
COMMENT ON TABLE control.batch IS 'One record per batch of a period (A1): 2025-01-MONTHEND, late ones 2025-01-MONTHEND-02, dry runs 2025-01-DRYRUN.';

CREATE TABLE control.batch_source_count (
    batch_id       text   NOT NULL REFERENCES control.batch ON DELETE CASCADE,
    source_type    text   NOT NULL,
    expected_count bigint NOT NULL,
    actual_count   bigint,
    PRIMARY KEY (batch_id, source_type)
);

CREATE TABLE control.batch_worker (
    batch_id          text     NOT NULL REFERENCES control.batch ON DELETE CASCADE,
    worker_number     integer  NOT NULL CHECK (worker_number > 0),
    status            text     NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED')),
    records_expected  bigint   NOT NULL,
    records_processed bigint   NOT NULL DEFAULT 0,
    first_je_number   integer,
    last_je_number    integer,
    entry_count       bigint,
    line_count        bigint,
    started_at        timestamptz,
    completed_at      timestamptz,
    error             text,
    header_leaf       regclass UNIQUE,
    line_leaf         regclass UNIQUE,
    -- Counts the statements that changed the leaves since they were written. Control totals are worth something only
    -- for the version that they were read from.
    content_version   integer  NOT NULL DEFAULT 0,
    records_per_second numeric GENERATED ALWAYS AS (
        round(records_processed / nullif(extract(epoch FROM completed_at - started_at), 0), 1)) STORED,
    PRIMARY KEY (batch_id, worker_number)
);
COMMENT ON TABLE control.batch_worker IS 'A shard of a batch: its range of source rows, of numbers, and the two leaf tables that it wrote.';

CREATE TABLE control.batch_worker_slice (
    batch_id         text    NOT NULL,
    worker_number    integer NOT NULL,
    load_id          integer NOT NULL REFERENCES source.load,
    first_row_number integer NOT NULL,
    last_row_number  integer NOT NULL,
    PRIMARY KEY (batch_id, worker_number, load_id),
    FOREIGN KEY (batch_id, worker_number) REFERENCES control.batch_worker ON DELETE CASCADE
);
COMMENT ON TABLE control.batch_worker_slice IS 'The source rows that a worker journals: a range of row numbers of one load.';

CREATE TABLE control.batch_checkpoint (
    batch_id          text        NOT NULL,
    worker_number     integer     NOT NULL,
    attempt           integer     NOT NULL,
    records_processed bigint      NOT NULL,
    last_je_number    integer,
    recorded_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (batch_id, worker_number, attempt),
    FOREIGN KEY (batch_id, worker_number) REFERENCES control.batch_worker ON DELETE CASCADE
);

-- Processed = a row here. Its key is the promise that no load is journaled twice.
CREATE TABLE control.load_batch (
    load_id  integer PRIMARY KEY REFERENCES source.load,
    batch_id text    NOT NULL REFERENCES control.batch
);
CREATE INDEX ON control.load_batch (batch_id);

CREATE TABLE control.sequence_reservation_log (
    batch_id        text        PRIMARY KEY REFERENCES control.batch,
    period          text        NOT NULL,
    first_je_number integer     NOT NULL,
    last_je_number  integer     NOT NULL,
    entry_count     bigint      NOT NULL CHECK (entry_count = last_je_number - first_je_number + 1),
    reserved_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE control.sequence_reservation_log IS 'The number range that a posted batch took, written in the posting transaction: one row per batch, no gap between them.';

CREATE TABLE control.exception_queue (
    exception_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id     text        NOT NULL REFERENCES control.batch,
    attempt      integer     NOT NULL,
    period       text        NOT NULL,
    load_id      integer     NOT NULL REFERENCES source.load,
    row_number   integer     NOT NULL,
    txn_id       text        NOT NULL,
    reason       text        NOT NULL,
    detail       text        NOT NULL,
    -- RETRIED: the staged rows of that attempt are gone; if the fault is still there, the new attempt has its own OPEN row.
    status       text        NOT NULL DEFAULT 'OPEN' CHECK (status IN ('OPEN', 'RETRIED')),
    raised_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON control.exception_queue (batch_id, status);

CREATE TABLE control.batch_validation_result (
    validation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id      text        NOT NULL REFERENCES control.batch,
    attempt       integer     NOT NULL,
    gate          text        NOT NULL,
    passed        boolean     NOT NULL,
    expected      text        NOT NULL,
    actual        text        NOT NULL,
    difference    text        NOT NULL,
    detail        text        NOT NULL,
    offending     jsonb       NOT NULL DEFAULT '[]',
    evaluated_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON control.batch_validation_result (batch_id, attempt);

-- Control totals, read from the stored rows and stamped with the version of the rows that they were read from.

CREATE TABLE control.load_measure (
    load_id         integer     PRIMARY KEY REFERENCES source.load,
    content_version integer     NOT NULL,
    row_count       bigint      NOT NULL,
    checksum        numeric     NOT NULL,
    measured_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE control.load_measure_total (
    load_id       integer NOT NULL REFERENCES control.load_measure ON DELETE CASCADE,
    txn_type      text    NOT NULL,
    row_count     bigint  NOT NULL,
    tabarru_total numeric NOT NULL,
    tanahud_total numeric NOT NULL,
    ujroh_total   numeric NOT NULL,
    PRIMARY KEY (load_id, txn_type)
);

CREATE TABLE control.worker_measure (
    batch_id              text        NOT NULL,
    worker_number         integer     NOT NULL,
    content_version       integer     NOT NULL,
    entry_count           bigint      NOT NULL,
    line_count            bigint      NOT NULL,
    first_je_number       integer,
    last_je_number        integer,
    debit_total           numeric     NOT NULL,
    credit_total          numeric     NOT NULL,
    unbalanced_entries    bigint      NOT NULL,
    fund_unbalanced_entries bigint    NOT NULL,
    header_line_mismatches bigint     NOT NULL,
    measured_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (batch_id, worker_number),
    FOREIGN KEY (batch_id, worker_number) REFERENCES control.batch_worker ON DELETE CASCADE
);
COMMENT ON COLUMN control.worker_measure.header_line_mismatches IS 'Entries without header, without lines, or whose header total is not the sum of their debits.';

CREATE TABLE control.worker_measure_account (
    batch_id      text     NOT NULL,
    worker_number integer  NOT NULL,
    account_id    smallint NOT NULL,
    line_count    bigint   NOT NULL,
    debit_total   numeric  NOT NULL,
    credit_total  numeric  NOT NULL,
    PRIMARY KEY (batch_id, worker_number, account_id),
    FOREIGN KEY (batch_id, worker_number) REFERENCES control.worker_measure ON DELETE CASCADE
);
COMMENT ON COLUMN control.worker_measure_account.debit_total IS 'Minor units, as stored in the lines.';

CREATE TABLE control.worker_measure_source (
    batch_id          text    NOT NULL,
    worker_number     integer NOT NULL,
    source_type       text    NOT NULL,
    transaction_count bigint  NOT NULL,
    PRIMARY KEY (batch_id, worker_number, source_type),
    FOREIGN KEY (batch_id, worker_number) REFERENCES control.worker_measure ON DELETE CASCADE
);

-- What decides about rows by the control tables has to see both as they are now. A snapshot from before does not know whose
-- rows a leaf holds, nor that they are posted, while COPY FREEZE and the catalog show it the leaf all the same.
CREATE FUNCTION control.require_read_committed() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION 'refused in a % transaction: it may not see what has happened to the books since it began',
            upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'invalid_transaction_state', HINT = 'Use READ COMMITTED.';
    END IF;
END $$;

CREATE FUNCTION control.set_batch_state(the_batch text, new_state text, performed_by text, details jsonb DEFAULT '{}')
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    b control.batch;
    allowed CONSTANT jsonb := '{
        "INITIATED":  ["PREFLIGHT", "FAILED", "ABORTED"],
        "PREFLIGHT":  ["PROCESSING", "FAILED", "ABORTED"],
        "PROCESSING": ["VALIDATING", "FAILED", "ABORTED"],
        "VALIDATING": ["VALIDATED", "COMMITTED", "FAILED", "ABORTED"],
        "VALIDATED":  ["VALIDATED", "COMMITTED", "FAILED", "ABORTED"],
        "FAILED":     ["VALIDATED", "FAILED", "ABORTED"],
        "COMMITTED":  ["ROLLED_BACK"],
        "ABORTED":    [], "ROLLED_BACK": []}';
BEGIN
    SELECT * INTO STRICT b FROM control.batch WHERE batch_id = the_batch FOR UPDATE;
    IF NOT allowed -> b.state ? new_state THEN
        RAISE EXCEPTION 'batch % cannot go from % to %', the_batch, b.state, new_state
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('From %s a batch can go to: %s.', b.state, allowed -> b.state);
    END IF;
    -- A batch that failed while it was staged has no last number: posting it would leave the counter where it was.
    IF new_state = 'VALIDATED' AND b.entry_count IS NULL THEN
        RAISE EXCEPTION 'batch % was not staged to its end', the_batch
            USING ERRCODE = 'LA002', DETAIL = coalesce(b.failure_reason, ''), HINT = 'stage the period again';
    END IF;
    UPDATE control.batch SET
        state          = new_state,
        failure_reason = CASE WHEN new_state IN ('FAILED', 'ABORTED') THEN details ->> 'reason' END,
        preflight_at   = CASE new_state WHEN 'PREFLIGHT'   THEN clock_timestamp() ELSE preflight_at END,
        processing_at  = CASE new_state WHEN 'PROCESSING'  THEN clock_timestamp() ELSE processing_at END,
        validating_at  = CASE new_state WHEN 'VALIDATING'  THEN clock_timestamp() ELSE validating_at END,
        validated_at   = CASE new_state WHEN 'VALIDATED'   THEN clock_timestamp() ELSE validated_at END,
        committed_at   = CASE new_state WHEN 'COMMITTED'   THEN clock_timestamp() ELSE committed_at END,
        failed_at      = CASE new_state WHEN 'FAILED'      THEN clock_timestamp() ELSE failed_at END,
        aborted_at     = CASE new_state WHEN 'ABORTED'     THEN clock_timestamp() ELSE aborted_at END,
        rolled_back_at = CASE new_state WHEN 'ROLLED_BACK' THEN clock_timestamp() ELSE rolled_back_at END
    WHERE batch_id = the_batch;
    INSERT INTO audit.batch_operation (batch_id, period, operation, performed_by, state_before, state_after, outcome, details)
    VALUES (the_batch, b.period, 'STATE', performed_by, b.state, new_state,
            CASE WHEN new_state = 'FAILED' THEN 'FAILED' ELSE 'SUCCESS' END, details);
END $$;
