-- What somebody has to be told (A14): incidents, the messages about them, and the history of both.
--
-- It is an outbox. Whoever notices something opens an incident here; whoever can send (a sensor, a cron job) plans a delivery for each
-- channel, claims one at a time, and writes down what became of it. The database says when an incident is the same as one that
-- is open, when a delivery is tried again, and when it is given up, for every client alike.

CREATE TABLE control.incident_kind (
    kind        text PRIMARY KEY CHECK (kind ~ '^[A-Z_]+$'),
    severity    text NOT NULL CHECK (severity IN ('INFO', 'WARNING', 'ERROR', 'CRITICAL')),
    -- What ends it: CLOSE the month is closed, PASS the same check passes, SUCCESS the same job or sensor succeeds, HAND somebody says
    -- so or the program that reported it does; NOTICE tells of what has happened: nothing is left to be ended.
    ends_with   text NOT NULL CHECK (ends_with IN ('CLOSE', 'PASS', 'SUCCESS', 'HAND', 'NOTICE')),
    says        text NOT NULL,
    what_to_do  text NOT NULL
);
COMMENT ON TABLE control.incident_kind IS 'What can become an incident, how severe it is, what ends it, and what to do; docs/runbook.md has a section for each.';

INSERT INTO control.incident_kind (kind, severity, ends_with, says, what_to_do) VALUES
    ('GATE_FAILED',      'ERROR',    'CLOSE',   'a gate failed', 'Nothing was posted by it. Look at ledger-assets status with the month, put right what it lists, and close again.'),
    ('PREFLIGHT_FAILED', 'ERROR',    'CLOSE',   'pre-flight failed', 'Nothing was staged. Do what the message says after Fix, and close again.'),
    ('RUN_FAILED',       'ERROR',    'SUCCESS', 'a run failed', 'Read the error at the run, then start it again: every step can be repeated. If it stays, call a data engineer.'),
    ('CHECK_WARNING',    'WARNING',  'PASS',    'a check warns', 'The close went on. Look at the check in the Dagster UI before the figures are published.'),
    ('CLOSE_OVERDUE',    'ERROR',    'CLOSE',   'the close is overdue', 'Look at ledger-assets status with the month for what it waits for, then close it.'),
    ('ROLLED_BACK',      'WARNING',  'NOTICE',  'posted books were corrected', 'If you did not expect it: ledger-assets audit says who did it and why. Figures that were sent out may be others now.'),
    ('SENSOR_FAILED',    'ERROR',    'SUCCESS', 'a sensor or schedule failed', 'What it watches is not watched. Read the error of its tick in the Dagster UI, under Automation.'),
    ('VERIFY_FAILED',    'CRITICAL', 'SUCCESS', 'the verification of the ledger failed', 'Close nothing further. Run ledger-assets verify, keep what it says, and tell the auditor.'),
    ('NOT_CERTIFIED',    'CRITICAL', 'CLOSE',   'the month was not certified', 'The month is posted, and its balances are not those of its lines. Publish nothing; call a data engineer and tell the auditor.'),
    ('SLOW_WORKER',      'WARNING',  'CLOSE',   'a worker is slow', 'Look at the five questions of docs/monitoring.md: a lock, the disk, or another program.'),
    ('WORKER_FAILED',    'WARNING',  'CLOSE',   'a worker failed', 'Look at ledger-assets status with the month: whether the batch goes on without it, and why it failed.'),
    ('ARCHIVE_FAILED',   'ERROR',    'SUCCESS', 'archiving failed', 'Nothing was dropped. Read the error at the run, then start it again.');

CREATE TABLE control.incident (
    incident_id  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text        NOT NULL REFERENCES control.incident_kind,
    severity     text        NOT NULL CHECK (severity IN ('INFO', 'WARNING', 'ERROR', 'CRITICAL')),
    subject      text        NOT NULL,
    -- The same while it is open: seen again, it is the same incident and no second message.
    key          text        NOT NULL,
    period       text,
    batch_id     text,
    check_name   text,
    title        text        NOT NULL,
    expected     text        NOT NULL DEFAULT '',
    actual       text        NOT NULL DEFAULT '',
    what_to_do   text        NOT NULL,
    runbook      text        NOT NULL GENERATED ALWAYS AS ('docs/runbook.md#' || replace(lower(kind), '_', '-')) STORED,
    run_id       text        CHECK (run_id ~ '^[0-9A-Za-z_-]{1,64}$'),
    details      jsonb       NOT NULL DEFAULT '{}',
    opened_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    times_seen   integer     NOT NULL DEFAULT 1 CHECK (times_seen > 0),
    resolved_at  timestamptz
);
CREATE UNIQUE INDEX one_open_incident_of_a_key ON control.incident (key) WHERE resolved_at IS NULL;
CREATE INDEX ON control.incident (period);
COMMENT ON TABLE  control.incident IS 'What somebody had to be told: one row however often it was seen while it was open. Counts and totals only, personal data masked.';
COMMENT ON COLUMN control.incident.opened_at IS 'When it happened first, as last_seen_at when it did last; when that was noted stands in control.incident_history.';
COMMENT ON COLUMN control.incident.details IS 'What else the message shows, for example every check that failed in the run.';

-- A channel is known by its name only: where it leads, with its secrets, stays in the file of who sends.
CREATE TABLE control.alert_channel (
    channel         text   PRIMARY KEY CHECK (channel ~ '^[a-z0-9_-]{1,40}$'),
    -- What was over before the channel was there is not told to it.
    after_incident  bigint NOT NULL,
    first_used_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE control.alert_delivery (
    delivery_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident_id bigint      NOT NULL REFERENCES control.incident,
    channel     text        NOT NULL REFERENCES control.alert_channel,
    message     text        NOT NULL DEFAULT 'OPENED' CHECK (message IN ('OPENED', 'RESOLVED')),
    status      text        NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'SENT', 'FAILED', 'GIVEN_UP')),
    tries       integer     NOT NULL DEFAULT 0,
    planned_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_try_at timestamptz          DEFAULT clock_timestamp(),
    last_error  text,
    sent_at     timestamptz,
    UNIQUE (incident_id, channel, message),
    CONSTRAINT sent_when_it_was_sent CHECK ((status = 'SENT') = (sent_at IS NOT NULL)),
    CONSTRAINT tried_again_or_ended CHECK ((status IN ('PENDING', 'FAILED')) = (next_try_at IS NOT NULL))
);
CREATE INDEX ON control.alert_delivery (next_try_at) WHERE next_try_at IS NOT NULL;
COMMENT ON TABLE  control.alert_delivery IS 'What was sent, or is to be, to which channel about which incident.';
COMMENT ON COLUMN control.alert_delivery.last_error IS 'Masked, and without the address: that may hold a password.';

CREATE TABLE control.incident_history (
    history_id  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident_id bigint      NOT NULL REFERENCES control.incident,
    happened    text        NOT NULL CHECK (happened IN ('OPENED', 'SEEN', 'RESOLVED', 'SENT', 'FAILED', 'GIVEN_UP', 'TRIED_AGAIN')),
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    performed_by text       NOT NULL DEFAULT session_user,
    channel     text,
    -- What was seen, such as a run: the same thing is noted once, also when whoever saw it died before he could remember that.
    occurrence  text        UNIQUE,
    detail      text        NOT NULL DEFAULT ''
);
CREATE INDEX ON control.incident_history (incident_id);
COMMENT ON TABLE control.incident_history IS 'Each opening, sighting, resolution and try to send, as it happened. Append-only.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON control.incident_history
    FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
ALTER TABLE control.incident_history ENABLE ALWAYS TRIGGER append_only;

-- How far each source of incidents was read. In the ledger and not in Dagster: it moves in the transaction that opens the incidents.
CREATE TABLE control.incident_source (
    source         text        PRIMARY KEY,
    position       bigint      NOT NULL DEFAULT 0,
    -- What happened before this version was there is history, and nobody is to be woken up by it.
    starts_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    looked_at      timestamptz
);
INSERT INTO control.incident_source (source, position)
VALUES ('operations', (SELECT coalesce(max(position), 0) FROM audit.operation_chain)), ('runs', 0), ('checks', 0), ('ticks', 0);
COMMENT ON TABLE control.incident_source IS 'How far the audit trail and Dagster''s events were read for incidents.';

-- ---------------------------------------------------------------------------------------------------- incidents

CREATE FUNCTION control.severity_rank(severity text) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN array_position(ARRAY['INFO', 'WARNING', 'ERROR', 'CRITICAL'], severity);

-- Opens an incident, or notes that an open one was seen again; returns its number. Of the same occurrence nothing is noted twice.
-- NULL and '' stand for what the kind says.
CREATE FUNCTION control.report_incident(
    the_kind text, the_severity text, the_subject text, the_period text, the_batch text, the_check text, the_title text, the_expected text,
    the_actual text, the_advice text, the_run_id text, the_occurrence text, the_details jsonb, happened_at timestamptz, performed_by text)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    k        control.incident_kind;
    the_key  text;
    found_id bigint;
    is_run   boolean := the_run_id ~ '^[0-9A-Za-z_-]{1,64}$';
BEGIN
    the_batch := coalesce(the_batch, (SELECT max(batch_id) FROM control.batch WHERE run_id = the_run_id));
    PERFORM control.require_read_committed();
    SELECT * INTO k FROM control.incident_kind WHERE kind = the_kind;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'incident %: there is no such kind', the_kind USING ERRCODE = 'LA002', HINT = 'control.incident_kind lists them';
    ELSIF coalesce(the_subject, '') = '' THEN
        RAISE EXCEPTION 'incident %: it has no subject', the_kind USING ERRCODE = 'LA002', HINT = 'say what it is about, for example the month';
    END IF;
    the_subject := left(audit.masked(the_subject), 200);
    the_key := the_kind || ':' || the_subject;
    -- Two who see the same at once open one incident: the second waits here and finds it.
    PERFORM pg_advisory_xact_lock(hashtext('control.incident'), hashtext(the_key));
    SELECT incident_id INTO found_id FROM control.incident_history WHERE occurrence = the_occurrence;
    IF FOUND THEN
        RETURN found_id;
    END IF;
    UPDATE control.incident SET
        times_seen = times_seen + 1, last_seen_at = greatest(last_seen_at, coalesce(happened_at, clock_timestamp())), run_id = CASE WHEN is_run THEN the_run_id ELSE run_id END,
        severity = CASE WHEN control.severity_rank(the_severity) > control.severity_rank(severity) THEN the_severity ELSE severity END,
        expected = coalesce(nullif(left(audit.masked(the_expected), 2000), ''), expected),
        actual = coalesce(nullif(left(audit.masked(the_actual), 2000), ''), actual),
        details = CASE WHEN the_details = '{}' THEN details ELSE coalesce(audit.masked(the_details), details) END
    WHERE key = the_key AND resolved_at IS NULL
    RETURNING incident_id INTO found_id;
    IF NOT FOUND THEN
        INSERT INTO control.incident (kind, severity, subject, key, period, batch_id, check_name, title, expected, actual, what_to_do, run_id,
                                      details, opened_at, last_seen_at, resolved_at)
        VALUES (the_kind, coalesce(nullif(the_severity, ''), k.severity), the_subject, the_key, left(the_period, 20), left(the_batch, 100),
                left(audit.masked(the_check), 200), left(coalesce(nullif(audit.masked(the_title), ''), the_subject || ': ' || k.says), 300),
                left(coalesce(audit.masked(the_expected), ''), 2000), left(coalesce(audit.masked(the_actual), ''), 2000),
                left(coalesce(nullif(audit.masked(the_advice), ''), replace(k.what_to_do, 'status with the month',
                                                                              coalesce('status ' || left(the_period, 20), 'status with the month'))), 2000), CASE WHEN is_run THEN the_run_id END,
                coalesce(audit.masked(the_details), '{}'), coalesce(happened_at, clock_timestamp()), coalesce(happened_at, clock_timestamp()),
                CASE WHEN k.ends_with = 'NOTICE' THEN clock_timestamp() END)
        RETURNING incident_id INTO found_id;
        INSERT INTO control.incident_history (incident_id, happened, performed_by, occurrence)
        VALUES (found_id, 'OPENED', report_incident.performed_by, the_occurrence);
    ELSIF the_occurrence IS NOT NULL THEN  -- what cannot be told apart, such as a month that is overdue still, is only counted
        INSERT INTO control.incident_history (incident_id, happened, performed_by, occurrence)
        VALUES (found_id, 'SEEN', report_incident.performed_by, the_occurrence);
    END IF;
    RETURN found_id;
END $$;

-- Ends open incidents: all that fit what is given (NULL fits everything), and were last seen before. Returns their numbers.
CREATE FUNCTION control.resolve_incidents(the_kinds text[], the_subject text, the_period text, how_it_ends text, before timestamptz, reason text,
                                          performed_by text)
RETURNS SETOF bigint LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(the_kinds::text, the_subject, the_period) IS NULL THEN
        RAISE EXCEPTION 'incidents: nothing says which are over' USING ERRCODE = 'LA002', HINT = 'name kinds, a subject or a month';
    END IF;
    RETURN QUERY
    WITH over AS (
        UPDATE control.incident i SET resolved_at = clock_timestamp()
        FROM control.incident_kind k
        WHERE k.kind = i.kind AND i.resolved_at IS NULL AND (the_kinds IS NULL OR i.kind = ANY (the_kinds))
          AND (the_subject IS NULL OR i.subject = the_subject) AND (the_period IS NULL OR i.period = the_period)
          AND (how_it_ends IS NULL OR k.ends_with = how_it_ends) AND i.last_seen_at <= coalesce(before, 'infinity')
        RETURNING i.incident_id)
    INSERT INTO control.incident_history (incident_id, happened, performed_by, detail)
    SELECT over.incident_id, 'RESOLVED', resolve_incidents.performed_by, left(coalesce(audit.masked(reason), ''), 500) FROM over
    RETURNING incident_id;
END $$;

-- Somebody says that an incident is over, and why: that is in the audit trail too.
CREATE FUNCTION control.resolve_incident(the_incident bigint, reason text, performed_by text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    i control.incident;
BEGIN
    PERFORM control.require_reason(format('incident %s', the_incident), reason);
    SELECT * INTO i FROM control.incident WHERE incident_id = the_incident FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'incident %: there is no such incident', the_incident USING ERRCODE = 'LA002', HINT = 'look at ledger-assets alerts --open';
    ELSIF i.resolved_at IS NOT NULL THEN
        RAISE EXCEPTION 'incident %: it is over already', the_incident USING ERRCODE = 'LA002', HINT = 'nothing is left to do';
    END IF;
    UPDATE control.incident SET resolved_at = clock_timestamp() WHERE incident_id = the_incident;
    INSERT INTO control.incident_history (incident_id, happened, performed_by, detail)
    VALUES (the_incident, 'RESOLVED', resolve_incident.performed_by, left(audit.masked(reason), 500));
    INSERT INTO audit.batch_operation (batch_id, period, operation, performed_by, state_before, state_after, outcome, details)
    VALUES (i.batch_id, i.period, 'RESOLVE_INCIDENT', resolve_incident.performed_by, 'OPEN', 'RESOLVED', 'SUCCESS',
            jsonb_build_object('incident', the_incident, 'kind', i.kind, 'reason', reason));
END $$;

-- How far a source was read, held until the transaction ends: two who look at once do not see the same.
CREATE FUNCTION control.hold_incident_source(the_source text, OUT read_to bigint, OUT starts_at timestamptz) LANGUAGE sql AS $$
    SELECT s.position, s.starts_at FROM control.incident_source s WHERE source = the_source FOR UPDATE
$$;

CREATE FUNCTION control.advance_incident_source(the_source text, read_to bigint) RETURNS void LANGUAGE sql AS $$
    UPDATE control.incident_source SET position = read_to, looked_at = clock_timestamp() WHERE source = the_source
$$;

-- What the audit trail has that people are to be told, whoever did it by whatever means: in the order of the chain, which is that of the
-- commits, so that nothing which commits late is passed over. Returns how many operations were read and how many incidents were
-- opened and ended by them.
CREATE FUNCTION control.note_operations(at_most integer, performed_by text, OUT operations bigint, OUT opened bigint, OUT resolved bigint)
LANGUAGE plpgsql AS $$
DECLARE
    seen_to bigint := (control.hold_incident_source('operations')).read_to;
    last    bigint := seen_to;
    before  bigint := (SELECT coalesce(max(incident_id), 0) FROM control.incident);
    o       record;
    says    text;
BEGIN
    operations := 0; resolved := 0;
    FOR o IN
        SELECT c.position AS place, x.*, b.kind AS batch_kind
        FROM audit.operation_chain c JOIN audit.batch_operation x USING (operation_id) LEFT JOIN control.batch b ON b.batch_id = x.batch_id
        WHERE c.position > seen_to ORDER BY c.position LIMIT at_most
    LOOP
        operations := operations + 1;
        last := o.place;
        says := CASE
            WHEN o.outcome <> 'SUCCESS' THEN NULL
            WHEN o.operation = 'ROLLBACK' THEN format('%s: batch %s was rolled back', o.period, o.batch_id)
            WHEN o.operation = 'STATE' AND o.state_after = 'COMMITTED' AND o.batch_kind = 'REVERSAL' THEN format('%s: the reversal %s was posted', o.period, o.batch_id)
            WHEN o.operation = 'REOPEN_PERIOD' THEN format('%s was reopened', o.period) END;
        IF says IS NOT NULL THEN
            PERFORM control.report_incident('ROLLED_BACK', NULL, coalesce(o.batch_id, o.period), o.period, o.batch_id, NULL, says,
                NULL, format('by %s%s', o.performed_by, ', reason: ' || coalesce(o.details ->> 'reason', (
                    SELECT y.details ->> 'reason' FROM audit.batch_operation y  -- a reversal said why when it was opened
                    WHERE y.batch_id = o.batch_id AND y.operation = 'INITIATE' AND y.details ? 'reason' ORDER BY y.operation_id DESC LIMIT 1))),
                NULL, NULL, 'operation:' || o.operation_id, NULL, o.performed_at, note_operations.performed_by);
        ELSIF o.operation = 'VERIFY' AND o.outcome = 'FAILED' THEN
            PERFORM control.report_incident('VERIFY_FAILED', NULL, coalesce(o.period, 'ledger'), o.period, NULL, NULL, NULL, 'nothing differs',
                format('%s findings: %s', o.details ->> 'findings', o.details -> 'first_findings' ->> 0), NULL, NULL,
                'operation:' || o.operation_id, NULL, o.performed_at, note_operations.performed_by);
        ELSIF o.operation = 'VERIFY' AND o.details ->> 'verdict' = 'PROVEN' THEN  -- of the whole ledger: every month is proven with it
            resolved := resolved + (SELECT count(*) FROM control.resolve_incidents(ARRAY['VERIFY_FAILED'], NULL, o.period, NULL, o.performed_at,
                                                                                   'verified by ' || o.performed_by, note_operations.performed_by));
        ELSIF o.operation IN ('CLOSE_PERIOD', 'RECLOSE_PERIOD') AND o.outcome = 'SUCCESS' THEN
            resolved := resolved + (SELECT count(*) FROM control.resolve_incidents(ARRAY['CLOSE_OVERDUE'], NULL, o.period, NULL, o.performed_at,
                                                                                   'closed by ' || o.performed_by, note_operations.performed_by));
        END IF;
    END LOOP;
    PERFORM control.advance_incident_source('operations', last);
    opened := (SELECT count(*) FROM control.incident WHERE incident_id > before);
END $$;

-- Workers of batches that have not ended: the failed ones, and those that have been running for a minute at less than 500 records a second.
CREATE FUNCTION control.note_workers(performed_by text) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(control.report_incident(kind, NULL, subject, period, batch_id, NULL, title, expected, actual, NULL, NULL, occurrence, NULL, NULL,
                                         note_workers.performed_by))
    FROM (SELECT 'WORKER_FAILED' AS kind, format('%s worker %s', batch_id, worker_number) AS subject, period, batch_id,
                 format('%s: worker %s of %s failed', period, worker_number, batch_id) AS title, 'COMPLETED' AS expected,
                 'FAILED' || coalesce(': ' || w.error, '') AS actual, format('worker:%s:%s:%s:failed', batch_id, b.attempt, worker_number) AS occurrence
          FROM control.watched_batch b JOIN control.batch_worker w USING (batch_id) WHERE w.status = 'FAILED'
          UNION ALL
          SELECT 'SLOW_WORKER', format('%s worker %s', batch_id, worker_number), period, batch_id,
                 format('%s: worker %s of %s is slow', period, worker_number, batch_id), 'at least 500 records a second',
                 format('%s records a second at most, after %s seconds', s.records_per_second, s.seconds),
                 format('worker:%s:%s:%s:slow', batch_id, b.attempt, worker_number)
          FROM control.slow_workers s JOIN control.watched_batch b USING (batch_id, period) WHERE s.status = 'RUNNING' AND s.seconds >= 60) AS seen
    WHERE NOT EXISTS (SELECT FROM control.incident_history h WHERE h.occurrence = seen.occurrence)
$$;

-- ---------------------------------------------------------------------------------------------------- messages

-- The channels that there are, as a list of {channel, from_severity, kinds, resolved}; what each of them is to be told and was not yet is
-- planned. An incident that was over before a channel was there is not told to it.
CREATE FUNCTION control.plan_deliveries(channels jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    planned bigint;
    more    bigint;
BEGIN
    INSERT INTO control.alert_channel (channel, after_incident)
    SELECT c ->> 'channel', coalesce((SELECT max(incident_id) FROM control.incident WHERE resolved_at IS NOT NULL), 0)
    FROM jsonb_array_elements(channels) AS c
    ON CONFLICT DO NOTHING;
    INSERT INTO control.alert_delivery (incident_id, channel)
    SELECT i.incident_id, known.channel
    FROM jsonb_array_elements(channels) AS c
    JOIN control.alert_channel known ON known.channel = c ->> 'channel'
    JOIN control.incident i ON (i.resolved_at IS NULL OR i.incident_id > known.after_incident)
    WHERE control.severity_rank(i.severity) >= control.severity_rank(c ->> 'from_severity')
      AND (c -> 'kinds' = 'null' OR c -> 'kinds' ? i.kind)
      AND NOT EXISTS (SELECT FROM control.alert_delivery d WHERE d.incident_id = i.incident_id AND d.channel = known.channel)
    ORDER BY i.incident_id
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS planned = ROW_COUNT;
    -- That it is over is said where it was said that it began.
    INSERT INTO control.alert_delivery (incident_id, channel, message)
    SELECT i.incident_id, d.channel, 'RESOLVED'
    FROM jsonb_array_elements(channels) AS c
    JOIN control.alert_delivery d ON d.channel = c ->> 'channel' AND d.message = 'OPENED' AND d.status = 'SENT'
    JOIN control.incident i ON i.incident_id = d.incident_id AND i.resolved_at > d.sent_at
    JOIN control.incident_kind k ON k.kind = i.kind AND k.ends_with <> 'NOTICE'
    WHERE (c ->> 'resolved')::boolean
      AND NOT EXISTS (SELECT FROM control.alert_delivery x WHERE x.incident_id = i.incident_id AND x.channel = d.channel AND x.message = 'RESOLVED')
    ORDER BY i.incident_id
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS more = ROW_COUNT;
    RETURN planned + more;
END $$;

-- The next delivery that is due, held until the transaction ends: nobody else sends it meanwhile. NULL when nothing is.
CREATE FUNCTION control.claim_delivery(the_channels text[]) RETURNS bigint LANGUAGE sql AS $$
    SELECT delivery_id FROM control.alert_delivery
    WHERE next_try_at <= clock_timestamp() AND channel = ANY (the_channels)
    ORDER BY next_try_at, delivery_id LIMIT 1
    FOR UPDATE SKIP LOCKED
$$;

-- The pause after so many tries; NULL: that was the last one.
CREATE FUNCTION control.pause_after(tries integer) RETURNS interval LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (ARRAY[interval '1 minute', interval '5 minutes', interval '15 minutes', interval '1 hour', interval '4 hours', interval '12 hours'])[tries];

-- What became of a try. Without an error it was sent.
CREATE FUNCTION control.settle_delivery(the_delivery bigint, error text, performed_by text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    d     control.alert_delivery;
    wrong text := left(audit.masked(error), 500);
BEGIN
    SELECT * INTO d FROM control.alert_delivery WHERE delivery_id = the_delivery FOR UPDATE;
    IF NOT FOUND OR d.status NOT IN ('PENDING', 'FAILED') THEN
        RAISE EXCEPTION 'delivery %: it is not being sent', the_delivery USING ERRCODE = 'LA002', HINT = 'look at ledger-assets alerts';
    END IF;
    UPDATE control.alert_delivery SET
        tries = d.tries + 1, last_error = wrong, sent_at = CASE WHEN wrong IS NULL THEN clock_timestamp() END,
        status = CASE WHEN wrong IS NULL THEN 'SENT' WHEN control.pause_after(d.tries + 1) IS NULL THEN 'GIVEN_UP' ELSE 'FAILED' END,
        next_try_at = CASE WHEN wrong IS NOT NULL THEN clock_timestamp() + control.pause_after(d.tries + 1) END
    WHERE delivery_id = the_delivery
    RETURNING * INTO d;
    INSERT INTO control.incident_history (incident_id, happened, performed_by, channel, detail)
    VALUES (d.incident_id, d.status, settle_delivery.performed_by, d.channel,
            format('%s, try %s%s', lower(d.message), d.tries, ': ' || wrong));
    RETURN d.status;
END $$;

-- Everything that failed or was given up becomes due at once, as if it had not been tried: for whoever has put the channel right.
CREATE FUNCTION control.retry_deliveries(performed_by text) RETURNS bigint LANGUAGE sql AS $$
    WITH again AS (
        UPDATE control.alert_delivery SET status = 'PENDING', tries = 0, next_try_at = clock_timestamp()
        WHERE status IN ('FAILED', 'GIVEN_UP')
        RETURNING incident_id, channel),
    noted AS (
        INSERT INTO control.incident_history (incident_id, happened, performed_by, channel)
        SELECT incident_id, 'TRIED_AGAIN', retry_deliveries.performed_by, channel FROM again)
    SELECT count(*) FROM again
$$;

-- A message about something that is over for a week is nobody's trouble any more.
CREATE VIEW control.undelivered_alert AS
SELECT d.delivery_id, d.incident_id, i.kind, i.severity, i.title, d.channel, d.message, d.status, d.tries, d.next_try_at, d.last_error
FROM control.alert_delivery d JOIN control.incident i USING (incident_id)
WHERE d.status IN ('FAILED', 'GIVEN_UP') AND (i.resolved_at IS NULL OR d.planned_at > clock_timestamp() - interval '7 days');
COMMENT ON VIEW control.undelivered_alert IS 'Messages that could not be sent: to be tried again, or given up.';
