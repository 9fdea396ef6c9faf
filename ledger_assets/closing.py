"""Close a month from the command line: Dagster's job, in this process, on the instance that the UI shows.

Belongs here: running the job and reading what became of it. Not here: what a close does (assets/, checks/).
"""

import time
from dataclasses import dataclass, field
from typing import Any

from dagster import DagsterInstance, ExecuteInProcessResult
from dagster._core.errors import DagsterUnknownPartitionError

from ledger_assets.assets.staged_journal_entries import PREFLIGHT
from ledger_assets.definitions import defs
from ledger_assets.settings import Settings
from ledger_assets.storage.batches import latest_batch
from ledger_assets.storage.database import connect, ledger_url

POSTED, FAULT, GATE_FAILED, PREFLIGHT_FAILED = 0, 1, 2, 3
"""Exit codes of `ledger-assets close`: part of the face that does not change."""

OUTCOMES = {FAULT: "failed", GATE_FAILED: "gate_failed", PREFLIGHT_FAILED: "preflight_failed"}


@dataclass(frozen=True)
class CloseResult:
    """What became of a close, ready to be printed as JSON."""

    period: str
    outcome: str
    exit_code: int
    seconds: float
    run_id: str = ""
    batch_id: str | None = None
    state: str | None = None
    entries: int = 0
    lines: int = 0
    gates: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def dagster_instance(settings: Settings) -> DagsterInstance:
    """The instance of dagster.yaml: runs of the command line show in the UI, and survive."""
    return DagsterInstance.from_config(str(settings.project_root))


def close(settings: Settings, period: str, *, log_level: str = "ERROR") -> CloseResult:
    """Run the month_close job for a period. Never raises for bad data or a refused period: the result says so."""
    started = time.perf_counter()
    job = defs.resolve_job_def("month_close")
    with dagster_instance(settings) as instance:
        try:
            run = job.execute_in_process(
                partition_key=period,
                instance=instance,
                raise_on_error=False,
                run_config={"loggers": {"console": {"config": {"log_level": log_level}}}},
            )
        except DagsterUnknownPartitionError:
            problem = f"{period} is no month of these books: they begin with {settings.first_period} and end with the current month"
            return CloseResult(period, OUTCOMES[PREFLIGHT_FAILED], PREFLIGHT_FAILED, _since(started), problems=[problem])
    with connect(ledger_url(settings)) as connection:
        batch = latest_batch(connection, period)
    exit_code = _exit_code(run)
    new = batch is not None and exit_code == POSTED and _was_posted_by(run)
    return CloseResult(
        period=period,
        outcome=OUTCOMES.get(exit_code, "posted" if new else "nothing_new"),
        exit_code=exit_code,
        seconds=_since(started),
        run_id=run.run_id,
        batch_id=batch.batch_id if batch else None,
        state=batch.state if batch else None,
        entries=(batch.entry_count or 0) if batch else 0,
        lines=(batch.line_count or 0) if batch else 0,
        gates=_gates(run),
        problems=_problems(run),
    )


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 2)


def _exit_code(run: ExecuteInProcessResult) -> int:
    failed_checks = [check for check in run.get_asset_check_evaluations() if not check.passed]
    if any(check.asset_key.to_user_string() == "journal_templates" for check in failed_checks):
        return PREFLIGHT_FAILED
    if any(PREFLIGHT in _failure_metadata(event) for event in _failures(run)):
        return PREFLIGHT_FAILED
    if failed_checks:
        return GATE_FAILED
    return POSTED if run.success else FAULT


def _failures(run: ExecuteInProcessResult) -> list[Any]:
    return [event for event in run.all_events if event.is_step_failure]


def _failure_metadata(event: Any) -> dict[str, Any]:
    user_failure = event.step_failure_data.user_failure_data
    return dict(user_failure.metadata) if user_failure else {}


def _was_posted_by(run: ExecuteInProcessResult) -> bool:
    for materialization in run.get_asset_materialization_events():
        if materialization.asset_key and materialization.asset_key.to_user_string() == "ledger_entries":
            outcome = materialization.materialization.metadata.get("outcome")
            return outcome is not None and outcome.value == "posted"
    return False


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
        for check in run.get_asset_check_evaluations()
    ]


def _text(metadata: Any, key: str) -> str:
    value = metadata.get(key)
    return "" if value is None else str(value.value)


def _problems(run: ExecuteInProcessResult) -> list[str]:
    """One sentence for each failed check, and for each step that failed by itself."""
    checks = [f"{check.check_name}: {check.description}" for check in run.get_asset_check_evaluations() if not check.passed]
    steps = []
    for event in _failures(run):
        failure = event.step_failure_data
        if failure.user_failure_data and failure.user_failure_data.description:
            steps.append(f"{event.step_key}: {failure.user_failure_data.description}")
        elif failure.error and not (failure.error.cls_name or "").startswith("DagsterAssetCheckFailed"):
            cause = failure.error.cause or failure.error
            steps.append(f"{event.step_key}: {cause.message.strip()}")
    return checks + steps
