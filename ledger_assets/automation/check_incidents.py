"""Asset checks that somebody has to be told of: those that warn, and those that failed while their run does not end."""

import time
from datetime import datetime
from typing import Final

import psycopg
from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    EventRecordsFilter,
)

from ledger_assets.automation.dagster_events import (
    AT_MOST,
    OVERLAP,
    evaluation,
    facts_of,
    moment,
    occurrence_of,
    position_in,
    runs_of,
)
from ledger_assets.automation.run_incidents import report_run
from ledger_assets.storage.incidents import (
    Noted,
    advance_source,
    hold_source,
    noted_before,
    open_incidents,
    report_incident,
    resolve,
)

SETTLED_AFTER: Final = 60.0
"""Seconds. The checks of a step come together: only then is one that failed told while its run still goes on."""


def note_checks(connection: psycopg.Connection, instance: DagsterInstance, *, performed_by: str) -> Noted:
    """Look at check evaluations, oldest first: warnings, which fail no run; and failures whose run does not end.

    A warning is over when the same check passes. The failed checks of a run that failed are told with the run.
    """
    read_to, since = hold_source(connection, "checks")
    read_to = position_in(instance, read_to)
    filters = EventRecordsFilter(DagsterEventType.ASSET_CHECK_EVALUATION, after_cursor=max(0, read_to - OVERLAP))
    records = instance.event_log_storage.get_event_records(filters, limit=AT_MOST, ascending=True)
    runs = {run.run_id: run for run in runs_of(instance, {record.run_id for record in records})}
    warned = {incident["subject"] for incident in open_incidents(connection, ["CHECK_WARNING"])}
    noted, fresh, opened, resolved = read_to, 0, 0, 0
    for record in records:
        check, at, run = evaluation(record), moment(record.timestamp), runs.get(record.run_id)
        if not check.passed and _may_yet_change(run, at):
            break
        noted = max(noted, record.storage_id)
        fresh += record.storage_id > read_to
        if at < since:
            continue
        if check.passed:
            resolved += _end_warning(connection, check, at, performed_by) if _subject_of(check) in warned else 0
        elif check.severity == AssetCheckSeverity.WARN:
            opened += _warn(connection, check, record.run_id, at, performed_by)
            warned.add(_subject_of(check))
        elif run is not None and _is_not_told_with_its_run(connection, run):
            report_run(connection, instance, run, happened_at=at, performed_by=performed_by)
            opened += 1
    advance_source(connection, "checks", noted)
    return Noted(fresh, opened, resolved)


def _is_not_told_with_its_run(connection: psycopg.Connection, run: DagsterRun) -> bool:
    """Whether a failed check has to be told by itself: its run did not fail, or does not end."""
    return run.status != DagsterRunStatus.FAILURE and not noted_before(connection, [occurrence_of(run)])


def _end_warning(connection: psycopg.Connection, check: AssetCheckEvaluation, at: datetime, performed_by: str) -> int:
    subject, reason = _subject_of(check), "the check passed"
    ended = resolve(
        connection, kinds=["CHECK_WARNING"], subject=subject, before=at, reason=reason, performed_by=performed_by
    )
    return len(ended)


def _may_yet_change(run: DagsterRun | None, at: datetime) -> bool:
    """Whether the run goes on and the check is fresh: the others of its step, and the end of the run, are near."""
    return run is not None and not run.is_finished and time.time() - at.timestamp() < SETTLED_AFTER


def _warn(
    connection: psycopg.Connection, check: AssetCheckEvaluation, run_id: str, at: datetime, performed_by: str
) -> bool:
    subject, facts = _subject_of(check), facts_of(check)
    occurrence = f"check:{run_id}:{subject}"
    if noted_before(connection, [occurrence]):
        return False
    report_incident(
        connection,
        kind="CHECK_WARNING",
        subject=subject,
        period=check.partition,
        title=f"{check.partition or check.asset_key.to_user_string()}: check {check.check_name} warns",
        check=check.check_name,
        expected=facts["expected"],
        actual=facts["actual"],
        run_id=run_id,
        details={"checks": [facts], "detail": check.description or ""},
        occurrence=occurrence,
        happened_at=at,
        performed_by=performed_by,
    )
    return True


def _subject_of(check: AssetCheckEvaluation) -> str:
    name = f"{check.asset_key.to_user_string()} {check.check_name}"
    return f"{check.partition} {name}" if check.partition else name
