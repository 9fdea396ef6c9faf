"""What happens because something happened: a month's close starts when everything it waits for has arrived."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from dagster import (
    DagsterInstance,
    DagsterRun,
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import PARTITION_NAME_TAG

from ledger_assets.accounting.starting import Files, Month, fingerprint, waits_for
from ledger_assets.automation.jobs import month_close
from ledger_assets.resources import LedgerResource
from ledger_assets.storage.overdue import note_overdue
from ledger_assets.storage.prerequisites import months_to_start

MINUTE, HOUR = 60, 3600


def run_in_progress(instance: DagsterInstance, period: str) -> DagsterRun | None:
    """A run that is closing the month now, or waits to; started by whomever."""
    filters = RunsFilter(job_name=month_close.name, statuses=NOT_FINISHED_STATUSES, tags={PARTITION_NAME_TAG: period})
    return next(iter(instance.get_runs(filters, limit=1)), None)


# ------------------------------------------------------------------------------------------------ start a close


@sensor(
    job=month_close,
    minimum_interval_seconds=MINUTE,
    default_status=DefaultSensorStatus.RUNNING,
    description="Starts the close of the next month when every prerequisite is reported COMPLETE and the source's "
    "announced totals have arrived, in the books or as files in the inbox. Starts nothing where nobody reports or "
    "announces anything. Each skipped tick says what the month waits for.",
)
def start_month_close(context: SensorEvaluationContext, ledger: LedgerResource) -> RunRequest | SkipReason:
    """Once for each situation of a month: a close that failed starts again when something was reported, announced or
    loaded since, not before. The cursor holds the last situation and its words; run keys guard where it is lost.
    """
    memory = json.loads(context.cursor) if context.cursor else {}
    months = ledger.in_transaction(
        lambda connection: months_to_start(connection, ledger.settings, first_period=ledger.the_first_period)
    )
    situation = [fingerprint(month, memory.get("taken", {}).get(month.period, {})) for month in months]
    if situation == memory.get("situation"):
        return SkipReason(memory["reason"])
    reasons = []
    for month, print_of_it in zip(months, situation, strict=True):
        if missing := waits_for(month):
            reasons.append(f"{month.period} waits for {', '.join(missing)}")
            continue
        if run := run_in_progress(context.instance, month.period):
            return SkipReason(f"{month.period} is being closed by run {run.run_id[:8]}")  # to be looked at again
        taken = memory.get("taken", {}).get(month.period, {}) | month.waiting_files
        context.update_cursor(_remembered(situation, _started(month), {month.period: taken}))
        return RunRequest(
            run_key=f"{month.period}:{print_of_it}",
            partition_key=month.period,
            tags={"started_because": "prerequisites complete, announced totals arrived"},
        )
    context.update_cursor(_remembered(situation, "; ".join(reasons), memory.get("taken", {})))
    return SkipReason("; ".join(reasons))


def _started(month: Month) -> str:
    return (
        f"{month.period} was started, and nothing was reported, announced or loaded since. If it failed: "
        f"ledger-assets status {month.period} says why; then report or deliver what was missing, or close it by hand"
    )


def _remembered(situation: list[str], reason: str, taken: Mapping[str, Files]) -> str:
    return json.dumps({"reason": reason, "situation": situation, "taken": taken})  # people see its beginning


# ------------------------------------------------------------------------------------------------ overdue


@sensor(
    minimum_interval_seconds=HOUR,
    default_status=DefaultSensorStatus.RUNNING,
    description="Months that should be closed by now (LEDGER_CLOSE_DUE_DAY, the fifth of the following month unless it "
    "is set; UTC) and are not: an incident for each, which somebody is told of until it is closed, or nothing of it is "
    "expected any more. It starts nothing.",
)
def close_overdue(ledger: LedgerResource) -> SkipReason:
    """Two queries a tick. An incident is touched once a day, not once a tick."""
    late = ledger.in_transaction(
        lambda connection: note_overdue(
            connection,
            due_day=ledger.settings.close_due_day,
            first_period=ledger.the_first_period,
            now=datetime.now(UTC),
            performed_by=ledger.actor,
        )
    )
    if not late:
        due_day = ledger.settings.close_due_day
        return SkipReason(f"no month is overdue; a month is due on day {due_day} of the following one")
    return SkipReason("; ".join(f"{month.expected}: {month.actual}. {month.what_to_do}" for month in late))
