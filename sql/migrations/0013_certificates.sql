-- Certificates (E7): what each close published, signed, and never changed afterwards.

CREATE TABLE ledger.close_certificate (
    period       control.period_key NOT NULL REFERENCES control.period,
    close_number integer     NOT NULL CHECK (close_number > 0),
    sha256       text        NOT NULL UNIQUE CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    -- Text, not jsonb: exactly the bytes of the published file, so that the two can be compared.
    document     text        NOT NULL,
    issued_at    timestamptz NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    recorded_by  text        NOT NULL,
    PRIMARY KEY (period, close_number),
    CONSTRAINT the_document_is_that_of_the_row CHECK (
        document::jsonb ->> 'sha256' = sha256
        AND document::jsonb -> 'certificate' ->> 'period' = period
        AND document::jsonb -> 'certificate' ->> 'close_number' = close_number::text)
);
COMMENT ON TABLE ledger.close_certificate IS 'The signed certificate of each close of each month, as it was published; append-only.';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.close_certificate
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();

-- Which close of the month the present one is: 1, and one more each time that it was closed anew.
CREATE FUNCTION ledger.close_number(the_period text) RETURNS integer LANGUAGE sql STABLE
    RETURN greatest((SELECT max(c.close_number) FROM ledger.period_close c WHERE c.period = the_period), 1);

CREATE FUNCTION ledger.is_closed(the_period text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM control.period p WHERE p.period = the_period AND p.status IN ('CLOSED', 'LOCKED'));
$$;

-- Keeps the month and the month before as they are until the end of the caller's transaction: nobody posts, rolls back,
-- closes or reopens them while their certificate is made.
CREATE FUNCTION ledger.hold_close(the_period text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM control.require_read_committed();
    PERFORM FROM control.period WHERE period = the_period FOR SHARE;
    PERFORM FROM control.period WHERE period = control.previous_period(the_period) FOR SHARE;
    IF NOT ledger.is_closed(the_period) THEN
        RAISE EXCEPTION '% is not closed', the_period
            USING ERRCODE = 'LA002', HINT = format('run ledger-assets close %s', the_period);
    END IF;
END $$;

-- The newest certificate of a month; no row when it has none.
CREATE FUNCTION ledger.latest_certificate(the_period text) RETURNS SETOF ledger.close_certificate LANGUAGE sql STABLE AS $$
    SELECT * FROM ledger.close_certificate WHERE period = the_period ORDER BY close_number DESC LIMIT 1;
$$;

-- Records a certificate; says false when the close has one already (which then stands). The signature is checked by
-- whoever reads the certificate; here it is made sure that it is that of the present close and follows on its predecessor.
CREATE FUNCTION ledger.record_certificate(the_period text, the_document text, performed_by text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    signed     CONSTANT jsonb := the_document::jsonb;
    content    CONSTANT jsonb := signed -> 'certificate';
    the_number CONSTANT integer := ledger.close_number(the_period);
BEGIN
    PERFORM ledger.hold_close(the_period);
    IF content ->> 'period' IS DISTINCT FROM the_period OR content ->> 'close_number' IS DISTINCT FROM the_number::text THEN
        RAISE EXCEPTION 'the certificate is that of close % of %, not of close % of %',
            content ->> 'close_number', content ->> 'period', the_number, the_period
            USING ERRCODE = 'LA002', HINT = 'make it anew';
    END IF;
    IF content -> 'previous' ->> 'sha256'
       IS DISTINCT FROM (SELECT c.sha256 FROM ledger.latest_certificate(control.previous_period(the_period)) AS c) THEN
        RAISE EXCEPTION 'the certificate of % does not follow on that of the month before', the_period
            USING ERRCODE = 'LA002', HINT = 'make it anew';
    END IF;
    INSERT INTO ledger.close_certificate (period, close_number, sha256, document, issued_at, recorded_by)
    VALUES (the_period, the_number, signed ->> 'sha256', the_document, (content ->> 'issued_at')::timestamptz, performed_by)
    ON CONFLICT (period, close_number) DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO audit.batch_operation (period, operation, performed_by, outcome, details)
    VALUES (the_period, 'CERTIFY', performed_by, 'SUCCESS',
            jsonb_build_object('close_number', the_number, 'sha256', signed ->> 'sha256'));
    RETURN true;
END $$;
