"""Ended runs that somebody has to be told of, each with all its failed checks as one incident.

Not here: when this is done (alerts.py), and what two sightings of the same are (PostgreSQL).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

import psycopg
from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    EventLogRecord,
    RunStatusChangeRecordsFilter,
)
from dagster._core.storage.tags import PARTITION_NAME_TAG, WILL_RETRY_TAG

from ledger_assets.assets.close_report import NOT_CERTIFIED
from ledger_assets.assets.ledger_entries import REFUSED
from ledger_assets.assets.overtaken import NO_INCIDENT
from ledger_assets.assets.preflight import PREFLIGHT, is_of_preflight
from ledger_assets.automation.dagster_events import (
    AT_MOST,
    OVERLAP,
    facts_of,
    failed_checks,
    first_words,
    moment,
    occurrence_of,
    position_in,
    runs_of,
)
from ledger_assets.automation.dead_runs import end_dead_runs
from ledger_assets.automation.operator_jobs import RECOMMENDATION
from ledger_assets.storage.incidents import (
    Noted,
    advance_source,
    hold_source,
    noted_before,
    report_incident,
    resolve,
)

KINDS_OF_JOBS: Final[Mapping[str, str]] = {"verify_ledger": "VERIFY_FAILED"}
"""Jobs whose failure is a kind of its own; those that are called archive... are ARCHIVE_FAILED."""

REHEARSAL: Final = "REHEARSAL_FAILED"
"""A rehearsal that ran to its end and says DO NOT PROCEED. One that could not is a run that failed."""

_CLOSES: Final = "month_close"
_ENDED: Final = (DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_SUCCESS)


class _Ended(NamedTuple):
    storage_id: int
    at: datetime
    run: DagsterRun


def note_runs(connection: psycopg.Connection, instance: DagsterInstance, *, performed_by: str) -> Noted:
    """Open one incident for each run that failed, however many of its checks did; end what a success ends."""
    read_to, since = hold_source(connection, "runs")
    end_dead_runs(instance)
    read_to = position_in(instance, read_to)
    ended, seen_to = _ended(instance, max(0, read_to - OVERLAP), since)
    known = noted_before(connection, {occurrence_of(one.run) for one in ended})
    fresh = opened = resolved = 0
    for one in ended:
        fresh += one.storage_id > read_to
        if one.run.status != DagsterRunStatus.SUCCESS:
            if occurrence_of(one.run) not in known and _is_told(instance, one.run):
                report_run(connection, instance, one.run, happened_at=one.at, performed_by=performed_by)
                opened += 1
        else:
            resolved += len(_end_by_success(connection, one, performed_by))
    advance_source(connection, "runs", max(read_to, seen_to))
    return Noted(fresh, opened, resolved)


def _is_told(instance: DagsterInstance, run: DagsterRun) -> bool:
    """Not a run that Dagster starts again, nor one that another has overtaken: what becomes of that is told."""
    return run.tags.get(WILL_RETRY_TAG) != "true" and NO_INCIDENT not in _told(_step_failures(instance, run.run_id))


def _ended(instance: DagsterInstance, after: int, since: datetime) -> tuple[list[_Ended], int]:
    """Runs that failed or succeeded, oldest first; no further than where the shorter of the two lists was cut off.

    Also the last event that was looked at: runs that ended before this version was there are passed over, for good.
    """
    found: list[EventLogRecord] = []
    cut = None
    for kind in _ENDED:
        filters = RunStatusChangeRecordsFilter(kind, after_storage_id=after)
        records = instance.fetch_run_status_changes(filters, limit=AT_MOST, ascending=True).records
        if len(records) == AT_MOST:
            cut = min(cut or records[-1].storage_id, records[-1].storage_id)
        found += records
    found = [record for record in found if cut is None or record.storage_id <= cut]
    runs = {run.run_id: run for run in runs_of(instance, {record.run_id for record in found})}
    ended = [
        _Ended(record.storage_id, moment(record.timestamp), runs[record.run_id])
        for record in sorted(found, key=lambda record: record.storage_id)
        if record.run_id in runs and moment(record.timestamp) >= since
    ]
    return ended, max((record.storage_id for record in found), default=0)


def _end_by_success(connection: psycopg.Connection, one: _Ended, performed_by: str) -> list[int]:
    """A success of the same job ends its failure; the close of a month ends all that kept it open."""
    period, kind = one.run.tags.get(PARTITION_NAME_TAG), _kind_of_job(one.run)
    end = partial(
        resolve, connection, before=one.at, reason=f"run {one.run.run_id} succeeded", performed_by=performed_by
    )
    ended = end(kinds=[kind]) if kind == "VERIFY_FAILED" else end(kinds=[kind, REHEARSAL], subject=_subject(one.run))
    if period and one.run.job_name == _CLOSES:
        ended += end(period=period, how_it_ends="CLOSE")
        ended += end(period=period, kinds=["RUN_FAILED"])
    return ended


def report_run(
    connection: psycopg.Connection,
    instance: DagsterInstance,
    run: DagsterRun,
    *,
    happened_at: datetime,
    performed_by: str,
) -> int:
    """Open the one incident of a run that failed: its gates, all named, or what else stopped it."""
    checks = [check for check in failed_checks(instance, run.run_id) if check.severity == AssetCheckSeverity.ERROR]
    failures = _step_failures(instance, run.run_id)
    period = run.tags.get(PARTITION_NAME_TAG)
    kind = _kind(run, checks, failures)
    facts = [facts_of(check) for check in checks]
    names = sorted({check.check_name for check in checks})
    subject, title = _subject(run), None
    if names:
        subject = f"{period or run.job_name} {', '.join(names)}"
        what = "pre-flight check" if kind == "PREFLIGHT_FAILED" else "gate"
        title = f"{period or run.job_name}: {_listed(what, names)} failed"
    if kind == "VERIFY_FAILED":
        subject, title = "ledger", None
    elif kind in ("PREFLIGHT_FAILED", "NOT_CERTIFIED") and period and not names:
        subject = period
    elif kind == "RUN_FAILED":
        title = f"{subject}: the run failed"
    elif kind == REHEARSAL:
        title = f"{period}: a rehearsal says DO NOT PROCEED"
    return report_incident(
        connection,
        kind=kind,
        subject=subject,
        period=period,
        title=title,
        check=", ".join(names) or None,
        expected=_joined(facts, "expected"),
        actual=_joined(facts, "actual"),
        run_id=run.run_id,
        details={"checks": facts, "detail": _detail(checks, failures) or _why_it_ended(instance, run)},
        occurrence=occurrence_of(run),
        happened_at=happened_at,
        performed_by=performed_by,
    )


def _kind(run: DagsterRun, checks: Sequence[AssetCheckEvaluation], failures: Sequence[Any]) -> str:
    told = _told(failures)
    of_job = _kind_of_job(run)
    if of_job != "RUN_FAILED":
        return of_job
    if RECOMMENDATION in told:
        return REHEARSAL
    refused = _refused_as(failures)
    if refused is not None:
        return refused
    if PREFLIGHT in told or any(is_of_preflight(check) for check in checks):
        return "PREFLIGHT_FAILED"
    if checks:
        return "GATE_FAILED"
    return "NOT_CERTIFIED" if NOT_CERTIFIED in told else "RUN_FAILED"


def _told(failures: Sequence[Any]) -> set[str]:
    """The keys of what the failed steps tell."""
    return {key for failure in failures if failure.user_failure_data for key in failure.user_failure_data.metadata}


def _refused_as(failures: Sequence[Any]) -> str | None:
    """What the posting refused: the conditions of pre-flight and of the gates are asked for once more there."""
    by_refusal = {"PreflightFailed": "PREFLIGHT_FAILED", "GateFailed": "GATE_FAILED"}
    refused = [failure.user_failure_data.metadata.get(REFUSED) for failure in failures if failure.user_failure_data]
    return next((by_refusal[it.value] for it in refused if it is not None and it.value in by_refusal), None)


def _kind_of_job(run: DagsterRun) -> str:
    if run.job_name.startswith("archive"):
        return "ARCHIVE_FAILED"
    return KINDS_OF_JOBS.get(run.job_name, "RUN_FAILED")


def _subject(run: DagsterRun) -> str:
    """The run's month and job. What somebody materializes by hand has no job: the assets stand for it."""
    what = run.job_name
    if what.startswith("__"):
        what = ", ".join(sorted(key.to_user_string() for key in run.asset_selection or [])) or "materialization"
    period = run.tags.get(PARTITION_NAME_TAG)
    return f"{period} {what}" if period else what


def _detail(checks: Sequence[AssetCheckEvaluation], failures: Sequence[Any]) -> str:
    """What the checks, or else the steps, say in words. Errors of other programs only by their first line."""
    if checks:
        return "; ".join(check.description for check in checks if check.description)
    said = []
    for failure in failures:
        if failure.user_failure_data and failure.user_failure_data.description:
            said.append(failure.user_failure_data.description)
        elif failure.error:
            said.append(first_words(failure.error))
    return "; ".join(dict.fromkeys(said))[:1000]


def _why_it_ended(instance: DagsterInstance, run: DagsterRun) -> str:
    """Of a run that failed beside its steps: its process died."""
    records = instance.get_records_for_run(run.run_id, of_type=DagsterEventType.RUN_FAILURE).records
    events = [record.event_log_entry.dagster_event for record in records]
    return next((event.message.partition("\n")[0][:500] for event in events if event and event.message), "")


def _step_failures(instance: DagsterInstance, run_id: str) -> list[Any]:
    records = instance.get_records_for_run(run_id, of_type=DagsterEventType.STEP_FAILURE).records
    events = [record.event_log_entry.dagster_event for record in records]
    return [event.step_failure_data for event in events if event is not None]


def _joined(facts: Sequence[Mapping[str, str]], name: str) -> str:
    if len(facts) == 1:
        return facts[0][name]
    return "; ".join(f"{one['check']}: {one[name]}" for one in facts if one[name])


def _listed(word: str, names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{word} {names[0]}"
    return f"{word}s {', '.join(names[:-1])} and {names[-1]}"
