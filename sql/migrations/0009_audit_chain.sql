-- The trail of operations as a chain of hashes, what else belongs into it, and personal data kept out of it (A9).

-- Beside the name that somebody gives (performed_by) stand the one he connected with (database_role) and the role that he
-- took on. What a program says of itself, with its process and host, is its application_name (client_agent): through a
-- socket there is no address.
ALTER TABLE audit.batch_operation ADD COLUMN role_taken text;
ALTER TABLE audit.batch_operation ALTER COLUMN role_taken SET DEFAULT nullif(current_setting('role'), 'none');
CREATE INDEX ON audit.batch_operation (batch_id);
CREATE INDEX ON audit.batch_operation (period);
COMMENT ON TABLE  audit.batch_operation IS 'Who did what, when, from where, and with which outcome. Append-only; audit.operation_chain proves it.';
COMMENT ON COLUMN audit.batch_operation.performed_by  IS 'The name that the caller gave; database_role is the one that the server knows.';
COMMENT ON COLUMN audit.batch_operation.client_address IS 'As the server sees it; NULL through a Unix socket.';
COMMENT ON COLUMN audit.batch_operation.client_agent  IS 'What the client says of itself: program[process]@host.';
COMMENT ON COLUMN audit.batch_operation.role_taken    IS 'The role taken on with SET ROLE, if one was.';

-- ---------------------------------------------------------------------------------------------------- personal data

-- The same two rules as accounting/masking.masked_text: e-mail addresses go, long numbers show their last four characters.
CREATE FUNCTION audit.masked(words text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT regexp_replace(regexp_replace(regexp_replace(words,
        '[^][ \t\r\n@<>,;:"''()=]+@[^][ \t\r\n@<>,;:"''()=]+', '[e-mail]', 'g'),
        '(?<![0-9A-Za-z_.,-])(?<![0-9]:)(?:\+[0-9]|0[0-9])[0-9 ().-]{2,}([0-9 ().-]{3}[0-9])(?![0-9A-Za-z])', '****\1', 'g'),
        '(?<![0-9A-Za-z_.,])[0-9]{4,}([0-9]{4})(?![0-9A-Za-z]|[.,][0-9])', '****\1', 'g')
$$;

CREATE FUNCTION audit.masked(document jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN CASE jsonb_typeof(document)
        WHEN 'string' THEN to_jsonb(audit.masked(document #>> '{}'))
        WHEN 'array'  THEN (SELECT coalesce(jsonb_agg(audit.masked(item) ORDER BY n), '[]')
                            FROM jsonb_array_elements(document) WITH ORDINALITY AS i (item, n))
        WHEN 'object' THEN (SELECT coalesce(jsonb_object_agg(key, audit.masked(value)), '{}') FROM jsonb_each(document))
        ELSE document
    END;
END $$;

CREATE FUNCTION audit.mask_details() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.details := audit.masked(NEW.details);
    RETURN NEW;
END $$;

CREATE TRIGGER mask_details BEFORE INSERT ON audit.batch_operation FOR EACH ROW EXECUTE FUNCTION audit.mask_details();

-- Types, products and channels are free text in the source: somebody's name may stand there. The codes that the rules name
-- were looked at by two people, so they may be shown.
CREATE VIEW acct.listed_code AS
    SELECT source_type AS code FROM acct.journal_template
    UNION SELECT recognised_type FROM acct.chart_of_accounts WHERE recognised_type IS NOT NULL
    UNION SELECT product_code FROM acct.product
    UNION SELECT product_code FROM acct.journal_template_match WHERE product_code IS NOT NULL
    UNION SELECT channel FROM acct.journal_template_match WHERE channel IS NOT NULL
    UNION SELECT product_code FROM acct.product_account_map
    UNION SELECT channel FROM acct.product_account_map;
COMMENT ON VIEW acct.listed_code IS 'The codes that the rules name: the only ones that logs, metadata and reports quote.';

CREATE FUNCTION acct.shown_code(the_code text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN the_code IN (SELECT code FROM acct.listed_code) THEN the_code ELSE '(not in the rules)' END
$$;

-- ---------------------------------------------------------------------------------------------------- the chain

CREATE TABLE audit.operation_chain (
    position      bigint   PRIMARY KEY CHECK (position > 0),
    operation_id  bigint   NOT NULL UNIQUE REFERENCES audit.batch_operation,
    version       smallint NOT NULL DEFAULT 1 CHECK (version = 1),
    previous_hash bytea    NOT NULL CHECK (octet_length(previous_hash) = 32),
    hash          bytea    NOT NULL CHECK (octet_length(hash) = 32)
);
COMMENT ON TABLE audit.operation_chain IS 'A link per operation, in the order of their commits: each hash covers the operation, its position and the hash before.';
COMMENT ON COLUMN audit.operation_chain.version IS 'Of the form that is hashed (docs/audit-trail.md); links of an older form keep theirs.';

-- Version 1: every field as <bytes in UTF-8>:<text>, NULL as ~, one after the other. No field's text depends on a setting of the
-- session; the moment is in microseconds since 1970-01-01 UTC.
CREATE FUNCTION audit.operation_hash(the_position bigint, previous_hash bytea, o audit.batch_operation)
RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(convert_to(string_agg(coalesce(octet_length(convert_to(field, 'UTF8')) || ':' || field, '~'), '' ORDER BY n), 'UTF8'))
    FROM unnest(ARRAY[
        'ledger_assets audit 1', the_position::text, encode(previous_hash, 'hex'), o.operation_id::text, o.batch_id, o.period,
        o.operation, o.performed_by,
        CASE WHEN isfinite(o.performed_at) THEN (extract(epoch FROM o.performed_at) * 1000000)::bigint::text
             ELSE o.performed_at::text END,
        o.client_address::text, o.client_agent, o.database_role, o.role_taken, o.state_before, o.state_after, o.outcome,
        o.details::text]) WITH ORDINALITY AS f (field, n)
$$;

CREATE FUNCTION audit.link_operation(the_operation bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    head audit.operation_chain;
BEGIN
    -- Held to the end of the transaction, which is near: the next one links to what this one commits.
    LOCK TABLE audit.operation_chain IN SHARE ROW EXCLUSIVE MODE;
    SELECT * INTO head FROM audit.operation_chain ORDER BY position DESC LIMIT 1;
    head.position := coalesce(head.position, 0) + 1;
    head.hash := coalesce(head.hash, decode(repeat('00', 32), 'hex'));
    INSERT INTO audit.operation_chain (position, operation_id, previous_hash, hash)
    SELECT head.position, o.operation_id, head.hash, audit.operation_hash(head.position, head.hash, o)
    FROM audit.batch_operation o WHERE o.operation_id = the_operation;
EXCEPTION WHEN unique_violation THEN
    -- A REPEATABLE READ transaction does not see the links that others made since it began.
    RAISE EXCEPTION 'the audit trail has grown since this % transaction began', current_setting('transaction_isolation')
        USING ERRCODE = 'serialization_failure', HINT = 'Run the transaction again.';
END $$;

CREATE FUNCTION audit.chain_operation() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM audit.link_operation(NEW.operation_id);
    RETURN NULL;
END $$;

-- What was there before is linked in the order in which it was numbered.
DO $$ BEGIN
    PERFORM audit.link_operation(operation_id) FROM (SELECT operation_id FROM audit.batch_operation ORDER BY operation_id) AS o;
END $$;

-- At commit: so the order of the chain is that of the commits, and its lock is the last that a transaction takes, wherever
-- in its course it wrote the operation.
CREATE CONSTRAINT TRIGGER chain_operation AFTER INSERT ON audit.batch_operation
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit.chain_operation();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.operation_chain
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
-- ALWAYS: not to be got round by session_replication_role = replica.
ALTER TABLE audit.batch_operation ENABLE ALWAYS TRIGGER chain_operation, ENABLE ALWAYS TRIGGER append_only,
                                  ENABLE ALWAYS TRIGGER mask_details;
ALTER TABLE audit.operation_chain ENABLE ALWAYS TRIGGER append_only;

-- What is wrong with the chain, in its order; nothing = whole. Operations cut off at its end leave no trace in here: compare
-- the last link with one that was noted outside (an export, a certificate). accounting/audit_chain.py does the same
-- without trusting any function of this database.
CREATE FUNCTION audit.verify_chain() RETURNS TABLE ("position" bigint, operation_id bigint, problem text) LANGUAGE sql STABLE AS $$
    SELECT c.position, coalesce(c.operation_id, o.operation_id), p.problem
    FROM (SELECT *, lag(x.position, 1, 0) OVER w AS position_before,
                 lag(x.hash, 1, decode(repeat('00', 32), 'hex')) OVER w AS hash_before
          FROM audit.operation_chain x WINDOW w AS (ORDER BY x.position)) AS c
    FULL JOIN audit.batch_operation o ON o.operation_id = c.operation_id,
    LATERAL (
        SELECT 'the operation has no link' WHERE c.position IS NULL
        UNION ALL SELECT 'links before it are missing' WHERE c.position <> c.position_before + 1
        UNION ALL SELECT 'it does not continue the link before it' WHERE c.previous_hash <> c.hash_before
        UNION ALL SELECT 'its operation is missing' WHERE o.operation_id IS NULL
        UNION ALL SELECT 'its operation is not what was hashed'
        WHERE o.operation_id IS NOT NULL AND c.hash <> audit.operation_hash(c.position, c.previous_hash, o)) AS p (problem)
    ORDER BY c.position, 2
$$;

-- ---------------------------------------------------------------------------------------------------- what is recorded

-- For what a client has to say itself: an attempt that was refused (its own transaction is rolled back, and everything that
-- it wrote with it), and operations that change nothing. A change of the books is recorded by what changes them: nobody
-- may claim one here, nor gates or a migration that he has not the rights to have run.
CREATE FUNCTION audit.record_operation(the_operation text, performed_by text, the_outcome text, the_batch text DEFAULT NULL,
                                       the_period text DEFAULT NULL, details jsonb DEFAULT '{}')
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    caller   CONSTANT name := coalesce(nullif(current_setting('role'), 'none'), session_user);
    recorded bigint;
BEGIN
    IF the_outcome = 'SUCCESS' AND (CASE
            WHEN the_operation IN ('EXPORT', 'EXPORT_AUDIT', 'VERIFY') THEN true
            WHEN the_operation = 'GATES'   THEN pg_has_role(caller, 'ledger_engine', 'MEMBER')
            WHEN the_operation = 'MIGRATE' THEN pg_has_role(caller, 'ledger_owner', 'MEMBER')
            END) IS NOT TRUE THEN
        RAISE EXCEPTION '% is recorded by what does it', the_operation
            USING ERRCODE = 'insufficient_privilege', HINT = 'Only refused attempts of it can be recorded.';
    END IF;
    INSERT INTO audit.batch_operation (batch_id, period, operation, performed_by, state_before, outcome, details)
    SELECT left(the_batch, 100), left(coalesce(the_period, b.period), 20), left(the_operation, 100), left(record_operation.performed_by, 100),
           coalesce(b.state, p.status), the_outcome, record_operation.details
    FROM (SELECT) AS one
    LEFT JOIN control.batch b ON b.batch_id = the_batch
    LEFT JOIN control.period p ON p.period = the_period AND the_batch IS NULL
    RETURNING operation_id INTO recorded;
    RETURN recorded;
END $$;

-- What changes source and rules is recorded by triggers: whoever does it, through whatever door, in the same transaction.

CREATE FUNCTION audit.note_load() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- At commit, when its counts are in.
    INSERT INTO audit.batch_operation (period, operation, performed_by, state_after, outcome, details)
    SELECT l.period, 'LOAD', l.loaded_by, l.status, 'SUCCESS',
           jsonb_build_object('load_id', l.load_id, 'file_name', l.file_name, 'file_sha256', l.file_sha256, 'rows', l.row_count,
                              'accepted', l.accepted_count, 'rejected', l.rejected_count, 'skipped', l.skipped_count,
                              'unchanged', l.unchanged_count)
    FROM source.load l WHERE l.load_id = NEW.load_id;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER note_load AFTER INSERT ON source.load
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit.note_load();

CREATE FUNCTION audit.note_withdrawal() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO audit.batch_operation (period, operation, performed_by, state_before, state_after, outcome, details)
    VALUES (NEW.period, 'WITHDRAW', NEW.withdrawn_by, OLD.status, NEW.status, 'SUCCESS',
            jsonb_build_object('load_id', NEW.load_id, 'reason', NEW.withdrawal_reason));
    RETURN NULL;
END $$;
CREATE TRIGGER note_withdrawal AFTER UPDATE OF status ON source.load
    FOR EACH ROW WHEN (NEW.status = 'WITHDRAWN' AND OLD.status <> 'WITHDRAWN') EXECUTE FUNCTION audit.note_withdrawal();

CREATE FUNCTION audit.note_acknowledgement() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO audit.batch_operation (period, operation, performed_by, state_before, state_after, outcome, details)
    SELECT l.period, 'ACKNOWLEDGE', n.resolved_by, 'OPEN', 'ACKNOWLEDGED', 'SUCCESS',
           jsonb_build_object('rows', count(*), 'reason', n.resolution)
    FROM new_rows n
    JOIN old_rows o USING (load_id, row_number)
    JOIN source.load l USING (load_id)
    WHERE n.status = 'ACKNOWLEDGED' AND o.status <> 'ACKNOWLEDGED'
    GROUP BY l.period, n.resolved_by, n.resolution;
    RETURN NULL;
END $$;
CREATE TRIGGER note_acknowledgement AFTER UPDATE ON source.rejected_row REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION audit.note_acknowledgement();

CREATE FUNCTION audit.note_rules() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    rules     acct.rule_set := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    performed text := CASE TG_OP WHEN 'INSERT' THEN 'STORE_RULES' WHEN 'DELETE' THEN 'FORGET_RULES' ELSE 'CHANGE_RULES' END;
    who       text := CASE TG_OP WHEN 'INSERT' THEN rules.prepared_by ELSE session_user END;
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.approved_by IS NULL AND NEW.approved_by IS NOT NULL THEN
        performed := 'APPROVE_RULES';
        who := NEW.approved_by;
    END IF;
    INSERT INTO audit.batch_operation (operation, performed_by, outcome, details)
    VALUES (performed, who, 'SUCCESS',
            jsonb_build_object('rule_set', rules.rule_set, 'version', rules.version, 'content_hash', rules.content_hash));
    RETURN NULL;
END $$;
CREATE TRIGGER note_rules AFTER INSERT OR UPDATE OR DELETE ON acct.rule_set FOR EACH ROW EXECUTE FUNCTION audit.note_rules();
