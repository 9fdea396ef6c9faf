-- Who may do what (A8; docs/access.md shows it as tables). Run after the migrations, in their transaction, each time there
-- were any: the whole list is withdrawn and given again. What is not listed here nobody may do but the owner, whom nobody
-- can log in as.

-- ---------------------------------------------------------------------------------------------------- the owner

DO $$
DECLARE
    ours    CONSTANT regnamespace[] := ARRAY['source', 'acct', 'staging', 'ledger', 'control', 'audit', 'quarantine'];
    owner   CONSTANT regrole := 'ledger_owner';
    command text;
    f       record;
BEGIN
    FOR command IN
        SELECT format('ALTER SCHEMA %s OWNER TO %s', oid::regnamespace, owner)
        FROM pg_namespace WHERE oid = ANY (ours) AND nspowner <> owner
      UNION ALL
        SELECT format('ALTER %s %s OWNER TO %s', CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
                                                              WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass, owner)
        FROM pg_class c
        WHERE relnamespace = ANY (ours) AND relowner <> owner AND relkind IN ('r', 'p', 'v', 'm', 'S')
          AND NOT EXISTS (SELECT FROM pg_depend d  -- the sequence of an identity column goes with its table
                          WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND c.relkind = 'S' AND d.deptype IN ('a', 'i'))
      UNION ALL
        SELECT format('ALTER TYPE %s OWNER TO %s', t.oid::regtype, owner)
        FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
        WHERE typnamespace = ANY (ours) AND typowner <> owner AND (typtype IN ('d', 'e') OR c.relkind = 'c')
      UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO %s', oid::regprocedure, owner)
        FROM pg_proc WHERE pronamespace = ANY (ours) AND proowner <> owner
    LOOP
        EXECUTE command;
    END LOOP;

    -- A function does what it does with the owner's rights, whatever its caller has, and means by a name what we meant.
    -- Not those that only compute: they need no rights, and PostgreSQL can put them into the query that calls them.
    -- (control.posted_when_planned is called IMMUTABLE, and is not; see where it is made.)
    FOR f IN
        SELECT oid::regprocedure AS signature FROM pg_proc
        WHERE pronamespace = ANY (ours) AND prokind = 'f'
          AND (provolatile <> 'i' OR oid = 'control.posted_when_planned()'::regprocedure)
          AND NOT (prosecdef AND coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false))
    LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = pg_catalog, pg_temp', f.signature);
    END LOOP;
END $$;

REVOKE ALL ON ALL TABLES IN SCHEMA source, acct, staging, ledger, control, audit, quarantine
    FROM PUBLIC, ledger_engine, batch_admin, batch_operator, finance_viewer, auditor;
REVOKE ALL ON ALL ROUTINES IN SCHEMA source, acct, staging, ledger, control, audit, quarantine
    FROM PUBLIC, ledger_engine, batch_admin, batch_operator, finance_viewer, auditor;
REVOKE ALL ON SCHEMA source, acct, staging, ledger, control, audit, quarantine
    FROM PUBLIC, ledger_engine, batch_admin, batch_operator, finance_viewer, auditor;

ALTER DEFAULT PRIVILEGES FOR ROLE ledger_owner REVOKE EXECUTE ON ROUTINES FROM PUBLIC;

GRANT USAGE ON SCHEMA source, acct, staging, ledger, control TO ledger_engine, batch_admin, batch_operator, finance_viewer, auditor;
-- For audit.record_operation; the trail itself only the engine and the auditor can read.
GRANT USAGE ON SCHEMA audit TO ledger_engine, batch_admin, batch_operator, finance_viewer, auditor;
GRANT USAGE ON SCHEMA quarantine TO ledger_engine, auditor;
GRANT SELECT ON public.ledger_assets_migration TO ledger_engine, batch_admin, batch_operator, finance_viewer, auditor;
GRANT ALL ON public.ledger_assets_migration TO ledger_owner;
DO $$
BEGIN
    IF (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()) THEN
        -- Rows of a file are compared with those of earlier loads in a temporary table.
        EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO ledger_engine', current_database());
    END IF;
END $$;

-- What only computes, and what the views call.
DO $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN
        SELECT oid FROM pg_proc
        WHERE provolatile = 'i' AND prokind IN ('f', 'a') AND pronamespace = ANY (ARRAY[
            'source', 'acct', 'staging', 'ledger', 'control', 'audit', 'quarantine']::regnamespace[])
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO ledger_engine, batch_admin, batch_operator, finance_viewer, auditor', f);
    END LOOP;
END $$;

-- ---------------------------------------------------------------------------------------------------- the engine

-- The Dagster process and the commands: loads, stages, runs the gates, posts, takes the balances. It reads everything and
-- writes through functions, but for COPY: into a leaf of its own until that is guarded (the default privilege gives it to the
-- leaf that a function makes, guard_table takes it away), and into the queues of what could not be booked.
GRANT SELECT ON ALL TABLES IN SCHEMA source, acct, staging, ledger, control, audit, quarantine TO ledger_engine;
GRANT INSERT (load_id, row_number, txn_id, reasons, raw) ON source.rejected_row TO ledger_engine;
GRANT INSERT (batch_id, attempt, period, load_id, row_number, txn_id, reason, detail) ON control.exception_queue TO ledger_engine;

ALTER DEFAULT PRIVILEGES FOR ROLE ledger_owner IN SCHEMA source, staging GRANT SELECT, INSERT ON TABLES TO ledger_engine;
ALTER DEFAULT PRIVILEGES FOR ROLE ledger_owner IN SCHEMA ledger, quarantine GRANT SELECT ON TABLES TO ledger_engine;
ALTER DEFAULT PRIVILEGES FOR ROLE ledger_owner IN SCHEMA source, staging, ledger, quarantine GRANT SELECT ON TABLES TO auditor;

GRANT EXECUTE ON FUNCTION
    source.lock_period, source.set_book_currency, source.open_load, source.create_leaf, source.finish_load,
    source.withdraw_load, source.acknowledge_rejections,
    acct.store_rule_set, acct.approve,
    control.measure_load, control.measure_worker, control.open_batch, control.start_worker, control.fail_worker,
    control.resume_batch, control.end_dead_dry_runs,
    control.record_verdict, control.pass_batch, control.fail_batch, control.end_dry_run,
    control.preflight_failures, control.failed_conditions, source.load_checksum,
    staging.create_leaves, staging.finish_worker, staging.finish_batch,
    staging.require_attempt, control.refuse_aborted, control.measure_origin,
    ledger.post_batch, ledger.take_snapshot,
    ledger.hold_close, ledger.record_certificate, ledger.prepare_for_readers, control.refresh_statistics,
    control.probe_write,
    control.report_incident, control.resolve_incidents, control.hold_incident_source, control.advance_incident_source,
    control.note_operations, control.note_workers,
    control.plan_deliveries, control.claim_delivery, control.settle_delivery, control.retry_deliveries,
    source.total_by_product
TO ledger_engine;
-- Who is on call says that an incident is over; it changes nothing in the books.
GRANT EXECUTE ON FUNCTION control.resolve_incident TO ledger_engine, batch_admin, batch_operator;

-- What other systems call, with the role of who watches the close: a report changes nothing in the books, and it stands in the
-- trail with its login. (A login of theirs may also be given these two functions and nothing else.)
GRANT EXECUTE ON FUNCTION control.report_prerequisite, control.announce_source TO ledger_engine, batch_admin, batch_operator;

-- What the views and the reports ask; it changes nothing.
GRANT EXECUTE ON FUNCTION
    acct.shown_code, ledger.dictionary_entries, ledger.dictionary_text, ledger.seal_header, control.entry_description, control.is_closed,
    control.months_booked_in, control.loads_to_journal, control.month_to_book_in, control.origin_totals, control.expected_accounts,
    ledger.is_closed, ledger.close_number, control.prerequisites_of, control.prerequisite_failures, control.stager_of
TO ledger_engine, batch_admin, batch_operator, finance_viewer, auditor;
GRANT EXECUTE ON FUNCTION ledger.fund_closings, ledger.latest_certificate TO ledger_engine, batch_admin, finance_viewer, auditor;

-- Housekeeping: the engine makes partitions ahead, everybody may see what is archived and what is due.
GRANT EXECUTE ON FUNCTION control.make_partitions TO ledger_engine, batch_admin;
GRANT EXECUTE ON FUNCTION
    control.missing_partitions, control.newest_closed, control.is_archived, control.loads_to_archive, control.archive_obstacles,
    control.months_due
TO ledger_engine, batch_admin, batch_operator, finance_viewer, auditor;
GRANT SELECT ON control.archive, control.archived_file, control.standing_archive TO batch_admin, batch_operator, finance_viewer;

-- An attempt that was refused is told by the client, whoever it was.
GRANT EXECUTE ON FUNCTION audit.record_operation TO ledger_engine, batch_admin, batch_operator, finance_viewer, auditor;

-- ---------------------------------------------------------------------------------------------------- people

-- Status, validation, balances.
GRANT SELECT ON
    control.period, control.batch, control.batch_source_count, control.batch_load, control.unprocessed_load,
    control.load_batch, control.sequence_reservation_log, control.exception_queue, control.worker_measure,
    control.worker_measure_account, control.worker_measure_source, source.load, source.load_total, source.book_currency,
    acct.rule_set, acct.chart_of_accounts, control.closing_obstacle, ledger.period_close, ledger.close_history, ledger.close_difference,
    control.batch_progress, control.prerequisite, control.prerequisite_report, control.latest_prerequisite_report,
    control.source_announcement, control.announced_total,
    control.incident, control.incident_kind, control.incident_history, control.incident_source, control.alert_channel,
    control.alert_delivery, control.undelivered_alert
TO finance_viewer, batch_operator, batch_admin;
-- How many rows were refused and why; not what they hold.
GRANT SELECT (load_id, row_number, status, reasons, resolved_by, resolved_at, resolution) ON source.rejected_row
TO finance_viewer, batch_operator, batch_admin;
GRANT SELECT (validation_id, batch_id, attempt, gate, passed, expected, actual, difference, detail, evaluated_at)
    ON control.batch_validation_result TO finance_viewer;
GRANT SELECT ON ledger.account_balance_snapshot, ledger.fund_balance, ledger.closed_balance TO finance_viewer, batch_admin;

-- And workers, checkpoints, the rows that break a gate.
GRANT SELECT ON
    control.batch_worker, control.batch_worker_slice, control.batch_checkpoint,
    control.batch_validation_result, control.load_measure, control.load_measure_total, source.load_overlap,
    control.watched_batch, control.workers_by_status, control.slow_workers, control.database_activity, control.recent_checkpoints
TO batch_operator, batch_admin;

-- And the rules, the entries; what changes the course of a close. (Not control.set_batch_state, which can say of a batch that
-- it is posted, nor control.drop_staged_leaves, which takes the workers of a posted one away: the functions that may be
-- called decide when.)
GRANT SELECT ON ALL TABLES IN SCHEMA acct TO batch_admin;
GRANT SELECT ON staging.je_header_staging, staging.je_line_staging, ledger.ledger_entry_header, ledger.ledger_entry_line,
    ledger.late_entry, ledger.account_line, ledger.entry_origin TO batch_admin;
GRANT EXECUTE ON FUNCTION
    control.preflight_failures, control.failed_conditions,
    control.open_batch, source.withdraw_load, source.acknowledge_rejections, acct.store_rule_set, acct.approve,
    control.abort_batch, ledger.roll_back_batch, ledger.roll_back_chain, control.open_reversal, control.open_year_end,
    control.lock_period, control.reopen_period, control.require_prerequisite,
    ledger.take_to_archive, source.take_to_archive, source.create_archived_leaf, source.finish_archived_leaf,
    control.begin_restore, ledger.create_restored_leaves, ledger.finish_restored_leaves, control.end_restore
TO batch_admin;
GRANT EXECUTE ON FUNCTION control.preflight_failures, control.failed_conditions TO batch_operator, finance_viewer;
-- Which worker is to be done again; the doing is the engine's.
GRANT EXECUTE ON FUNCTION control.restart_worker TO batch_operator, batch_admin;

-- Everything, and changes nothing.
GRANT SELECT ON ALL TABLES IN SCHEMA source, acct, staging, ledger, control, audit, quarantine TO auditor;
GRANT EXECUTE ON FUNCTION
    source.load_checksum, control.preflight_failures, control.failed_conditions, audit.verify_chain
TO auditor;
