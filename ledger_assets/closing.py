"""Close a month from the command line: Dagster's job, in this process, on the instance that the UI shows.

Belongs here: running the job and reading what became of it. Not here: what a close does (assets/, checks/).
"""

import os
import time
from typing import Any

import psycopg
from dagster import AssetCheckEvaluation, AssetCheckSeverity, DagsterInstance, ExecuteInProcessResult
from dagster._core.errors import DagsterUnknownPartitionError

from ledger_assets.assets.close_report import NOT_CERTIFIED
from ledger_assets.assets.preflight import PREFLIGHT, is_of_preflight
from ledger_assets.automation.dead_runs import end_dead_runs, tags_of_process
from ledger_assets.close_result import CloseResult, Outcome
from ledger_assets.definitions import defs
from ledger_assets.settings import Settings
from ledger_assets.storage.batches import Batch, latest_batch
from ledger_assets.storage.database import in_transaction, ledger_url
from ledger_assets.storage.periods import closes, differences
from ledger_assets.storage.reading import rows

INTERRUPTED = "interrupted; nothing is half posted. Fix: run it again: it goes on where it ended"
_INTERRUPTS = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
"""What Ctrl-C, or whoever cancels a run, becomes of a step."""

ERROR, WARN = AssetCheckSeverity.ERROR, AssetCheckSeverity.WARN


def dagster_instance(settings: Settings) -> DagsterInstance:
    """The instance of dagster.yaml: runs of the command line show in the UI, and survive."""
    return DagsterInstance.from_config(str(settings.project_root))


def close(settings: Settings, period: str, *, log_level: str = "CRITICAL") -> CloseResult:
    """Run the month_close job for a period. Never raises for bad data or a refused period: the result says so."""
    started = time.perf_counter()
    job = defs.resolve_job_def("month_close")
    url = ledger_url(settings)
    closes_before = in_transaction(url, lambda connection: closes(connection, period))
    with dagster_instance(settings) as instance:
        end_dead_runs(instance)
        try:
            run = job.execute_in_process(
                partition_key=period,
                instance=instance,
                tags=dict(tags_of_process(os.getpid())),
                raise_on_error=False,
                run_config={"loggers": {"console": {"config": {"log_level": log_level}}}},
            )
        except DagsterUnknownPartitionError:
            problem = f"{period} is no month of these books: they run from {settings.first_period} to the current month"
            return CloseResult.of(period, Outcome.PREFLIGHT_FAILED, started, problems=[problem])
    batch, changes, late = in_transaction(url, lambda connection: _what_became_of_it(connection, period, closes_before))
    return CloseResult.of(
        period,
        _outcome(run),
        started,
        run_id=run.run_id,
        batch_id=batch.batch_id if batch else None,
        state=batch.state if batch else None,
        entries=(batch.entry_count or 0) if batch else 0,
        lines=(batch.line_count or 0) if batch else 0,
        gates=_gates(run),
        problems=_problems(run),
        warnings=_warnings(run),
        late=[row for row in late if batch and row["batch_id"] == batch.batch_id and _posted(run)],
        changes=changes,
        resumed=_resumed(run),
    )


def _what_became_of_it(
    connection: psycopg.Connection, period: str, closes_before: list[dict[str, Any]]
) -> tuple[Batch | None, list[dict[str, Any]], list[dict[str, Any]]]:
    """The month's latest batch, what a new close changed, and the late transactions of the month."""
    is_new = [c["close_number"] for c in closes(connection, period)] != [c["close_number"] for c in closes_before]
    changes = differences(connection, period) if is_new else []
    return latest_batch(connection, period), changes, rows(connection, "period/late", period=period)


def _outcome(run: ExecuteInProcessResult) -> Outcome:
    failed_checks = [check for check in _checks(run) if not check.passed]
    not_ready = any(is_of_preflight(check) for check in failed_checks)
    if not_ready or any(PREFLIGHT in _failure_metadata(event) for event in _failures(run)):
        return Outcome.PREFLIGHT_FAILED
    if failed_checks:
        return Outcome.GATE_FAILED
    if any(NOT_CERTIFIED in _failure_metadata(event) for event in _failures(run)):
        return Outcome.NOT_CERTIFIED
    if not run.success:
        return Outcome.FAILED
    return Outcome.POSTED if _posted(run) else Outcome.NOTHING_NEW


def _checks(run: ExecuteInProcessResult, severity: AssetCheckSeverity = ERROR) -> list[AssetCheckEvaluation]:
    """The run's checks that can stop a close, or those that only warn."""
    return [check for check in run.get_asset_check_evaluations() if check.severity == severity]


def _posted(run: ExecuteInProcessResult) -> bool:
    for event in run.asset_materializations_for_node("ledger_entries"):
        return event.metadata["outcome"].value == "posted"
    return False


def _resumed(run: ExecuteInProcessResult) -> str | None:
    for event in run.asset_materializations_for_node("staged_journal_entries"):
        if "resumed" in event.metadata:
            return str(event.metadata["resumed"].value)
    return None


def _failures(run: ExecuteInProcessResult) -> list[Any]:
    return [event for event in run.all_events if event.is_step_failure]


def _failure_metadata(event: Any) -> dict[str, Any]:
    user_failure = event.step_failure_data.user_failure_data
    return dict(user_failure.metadata) if user_failure else {}


def _gates(run: ExecuteInProcessResult) -> list[dict[str, Any]]:
    return [
        {
            "asset": check.asset_key.to_user_string(),
            "gate": check.check_name,
            "passed": check.passed,
            "expected": _text(check.metadata, "expected"),
            "actual": _text(check.metadata, "actual"),
            "difference": _text(check.metadata, "difference"),
            "detail": check.description or "",
            "offending": [dict(row.data) for row in getattr(check.metadata.get("first_offending_rows"), "records", [])],
        }
        for check in _checks(run)
    ]


def _text(metadata: Any, key: str) -> str:
    value = metadata.get(key)
    return "" if value is None else str(value.value)


def _problems(run: ExecuteInProcessResult) -> list[str]:
    """One sentence for each failed check, and for each step that failed by itself."""
    checks = [f"{check.check_name}: {check.description}" for check in _checks(run) if not check.passed]
    steps = []
    for event in _failures(run):
        failure = event.step_failure_data
        if failure.user_failure_data and failure.user_failure_data.description:
            steps.append(f"{event.step_key}: {failure.user_failure_data.description}")
        elif failure.error and "AssetCheckFailed" not in (failure.error.cls_name or ""):
            cause = failure.error.cause or failure.error
            is_interrupt = cause.cls_name in _INTERRUPTS
            steps.append(f"{event.step_key}: {INTERRUPTED if is_interrupt else cause.message.strip()}")
    return checks + steps


def _warnings(run: ExecuteInProcessResult) -> list[str]:
    return [f"{check.check_name}: {check.description}" for check in _checks(run, WARN) if not check.passed]
