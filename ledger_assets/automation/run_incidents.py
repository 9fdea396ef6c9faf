"""What Dagster's own events say that somebody has to be told: ended runs, asset checks, ticks.

Belongs here: reading runs, check evaluations and ticks from Dagster's storage, whoever launched them: the UI, a sensor,
or `ledger-assets close`, whose runs a run-failure sensor of Dagster passes over because no code location launched them.
Not here: when this is done (alerts.py), and what two sightings of the same are (PostgreSQL).

How far each source was read stands in `control.incident_source` and moves in the transaction that opens the incidents.
Event ids are not in the order of commits, so each look goes a little further back than the last one ended; what was
noted before is known by its occurrence and not told twice.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
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
    EventRecordsFilter,
    RunStatusChangeRecordsFilter,
)
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.storage.tags import PARTITION_NAME_TAG, WILL_RETRY_TAG
from dagster_shared.error import SerializableErrorInfo

from ledger_assets.assets.close_report import NOT_CERTIFIED
from ledger_assets.assets.ledger_entries import REFUSED
from ledger_assets.assets.overtaken import NO_INCIDENT
from ledger_assets.assets.preflight import PREFLIGHT, is_of_preflight
from ledger_assets.automation.dead_runs import end_dead_runs
from ledger_assets.automation.operator_jobs import RECOMMENDATION
from ledger_assets.storage.incidents import (
    Noted,
    advance_source,
    hold_source,
    noted_before,
    open_incidents,
    report_incident,
    resolve,
)

OVERLAP: Final = 1_000
"""Event ids that are read once more: transactions commit their events in another order than they number them."""

AT_MOST: Final = 500
"""Events of a kind that one look takes."""

SETTLED_AFTER: Final = 60.0
"""Seconds. The checks of a step come together: only then is one that failed told while its run still goes on."""

TICKS_BACK: Final = 3_600
"""Seconds. A tick is numbered when it begins and fails when it ends."""

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


# ------------------------------------------------------------------------------------------------ runs


def note_runs(connection: psycopg.Connection, instance: DagsterInstance, *, performed_by: str) -> Noted:
    """Open one incident for each run that failed, however many of its checks did; end what a success ends."""
    read_to, since = hold_source(connection, "runs")
    end_dead_runs(instance)
    read_to = _read_to(instance, read_to)
    ended, seen_to = _ended(instance, max(0, read_to - OVERLAP), since)
    known = noted_before(connection, {_occurrence(one.run) for one in ended})
    fresh = opened = resolved = 0
    for one in ended:
        fresh += one.storage_id > read_to
        if one.run.status != DagsterRunStatus.SUCCESS:
            if _occurrence(one.run) not in known and _is_told(instance, one.run):
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
    runs = {run.run_id: run for run in _runs(instance, {record.run_id for record in found})}
    ended = [
        _Ended(record.storage_id, _moment(record.timestamp), runs[record.run_id])
        for record in sorted(found, key=lambda record: record.storage_id)
        if record.run_id in runs and _moment(record.timestamp) >= since
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
    facts = [_facts(check) for check in checks]
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
        occurrence=_occurrence(run),
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
            said.append(_first_words(failure.error))
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


# ------------------------------------------------------------------------------------------------ checks


def failed_checks(instance: DagsterInstance, run_id: str) -> list[AssetCheckEvaluation]:
    """The checks of a run that failed, in their order."""
    records = instance.get_records_for_run(run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION).records
    return [check for record in records if not (check := _evaluation(record)).passed]


def note_checks(connection: psycopg.Connection, instance: DagsterInstance, *, performed_by: str) -> Noted:
    """Look at check evaluations, oldest first: warnings, which fail no run; and failures whose run does not end.

    A warning is over when the same check passes. The failed checks of a run that failed are told with the run.
    """
    read_to, since = hold_source(connection, "checks")
    read_to = _read_to(instance, read_to)
    filters = EventRecordsFilter(DagsterEventType.ASSET_CHECK_EVALUATION, after_cursor=max(0, read_to - OVERLAP))
    records = instance.event_log_storage.get_event_records(filters, limit=AT_MOST, ascending=True)
    runs = {run.run_id: run for run in _runs(instance, {record.run_id for record in records})}
    warned = {incident["subject"] for incident in open_incidents(connection, ["CHECK_WARNING"])}
    noted, fresh, opened, resolved = read_to, 0, 0, 0
    for record in records:
        check, at, run = _evaluation(record), _moment(record.timestamp), runs.get(record.run_id)
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
    return run.status != DagsterRunStatus.FAILURE and not noted_before(connection, [_occurrence(run)])


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
    subject, facts = _subject_of(check), _facts(check)
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


def _evaluation(record: EventLogRecord) -> AssetCheckEvaluation:
    event = record.event_log_entry.dagster_event
    if event is None:
        raise AssertionError("an evaluation is an event")
    return event.asset_check_evaluation_data


def _facts(check: AssetCheckEvaluation) -> dict[str, str]:
    """Expected, actual and difference, as `checks.results` states them; never the offending rows."""
    values = {name: check.metadata.get(name) for name in ("expected", "actual", "difference")}
    return {
        "asset": check.asset_key.to_user_string(),
        "check": check.check_name,
        **{name: "" if value is None else str(value.value)[:500] for name, value in values.items()},
    }


def _joined(facts: Sequence[Mapping[str, str]], name: str) -> str:
    if len(facts) == 1:
        return facts[0][name]
    return "; ".join(f"{one['check']}: {one[name]}" for one in facts if one[name])


def _listed(word: str, names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{word} {names[0]}"
    return f"{word}s {', '.join(names[:-1])} and {names[-1]}"


# ------------------------------------------------------------------------------------------------ ticks


def note_ticks(connection: psycopg.Connection, instance: DagsterInstance, *, performed_by: str) -> Noted:
    """Look at the ticks of all sensors and schedules: those that failed, and those that work again.

    Nobody else sees that a sensor fails: its ticks only stand in the UI.
    """
    read_to, since = hold_source(connection, "ticks")
    now, fresh, opened, resolved = int(time.time()), 0, 0, 0
    failing = {incident["subject"]: incident for incident in open_incidents(connection, ["SENSOR_FAILED"])}
    after = max(read_to - TICKS_BACK, since.timestamp())
    for state in instance.all_instigator_state():
        name, identity = state.instigator_name, (state.instigator_origin_id, state.selector_id)
        failed = instance.get_ticks(*identity, after=after, limit=AT_MOST, statuses=[TickStatus.FAILURE])
        known = noted_before(connection, {f"tick:{tick.tick_id}" for tick in failed})
        for tick in sorted(failed, key=lambda tick: tick.timestamp):
            if f"tick:{tick.tick_id}" in known:
                continue
            report_incident(
                connection,
                kind="SENSOR_FAILED",
                subject=name,
                title=f"{name} failed",
                actual=_first_words(tick.error),
                run_id=None,
                occurrence=f"tick:{tick.tick_id}",
                happened_at=_moment(tick.timestamp),
                performed_by=performed_by,
            )
            fresh, opened = fresh + 1, opened + 1
            failing[name] = {"last_seen_at": _moment(tick.timestamp)}
        if name in failing:
            resolved += len(_end_by_tick(connection, instance, name, identity, failing[name], performed_by))
    advance_source(connection, "ticks", now)
    return Noted(fresh, opened, resolved)


def _end_by_tick(
    connection: psycopg.Connection,
    instance: DagsterInstance,
    name: str,
    identity: tuple[str, str],
    incident: Mapping[str, Any],
    performed_by: str,
) -> list[int]:
    last_failure: datetime = incident["last_seen_at"]
    works = [TickStatus.SUCCESS, TickStatus.SKIPPED]
    later = instance.get_ticks(*identity, after=last_failure.timestamp(), limit=1, statuses=works)
    if not later:
        return []
    at = _moment(later[0].timestamp)
    return resolve(
        connection, kinds=["SENSOR_FAILED"], subject=name, before=at, reason="it works again", performed_by=performed_by
    )


# ------------------------------------------------------------------------------------------------ reading events


def _read_to(instance: DagsterInstance, read_to: int) -> int:
    """How far the events were read. Where Dagster's storage was made anew, it counts from the beginning again."""
    highest = instance.event_log_storage.get_maximum_record_id() or 0
    return read_to if highest >= read_to else 0


def _runs(instance: DagsterInstance, run_ids: set[str]) -> list[DagsterRun]:
    return [run for run_id in sorted(run_ids) if (run := instance.get_run_by_id(run_id)) is not None]


def _first_words(error: SerializableErrorInfo | None) -> str:
    """The first line of what was at the bottom of an error; the lines after it may quote data."""
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip().partition("\n")[0][:500] if error else ""


def _occurrence(run: DagsterRun) -> str:
    return f"run:{run.run_id}"


def _moment(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)
