"""Reading Dagster's own events: runs, check evaluations and errors, whoever launched what they are of.

The UI, a sensor, or `ledger-assets close`, whose runs a run-failure sensor of Dagster passes over because no code
location launched them. Not here: what somebody has to be told of them (run_, check_ and tick_incidents).

How far each source was read stands in `control.incident_source` and moves in the transaction that opens the incidents.
Event ids are not in the order of commits, so each look goes a little further back than the last one ended; what was
noted before is known by its occurrence and not told twice.
"""

from datetime import UTC, datetime
from typing import Final

from dagster import AssetCheckEvaluation, DagsterEventType, DagsterInstance, DagsterRun, EventLogRecord
from dagster_shared.error import SerializableErrorInfo

OVERLAP: Final = 1_000
"""Event ids that are read once more: transactions commit their events in another order than they number them."""

AT_MOST: Final = 500
"""Events of a kind that one look takes."""


def position_in(instance: DagsterInstance, read_to: int) -> int:
    """How far the events were read. Where Dagster's storage was made anew, it counts from the beginning again."""
    highest = instance.event_log_storage.get_maximum_record_id() or 0
    return read_to if highest >= read_to else 0


def runs_of(instance: DagsterInstance, run_ids: set[str]) -> list[DagsterRun]:
    """Those of the runs that have not been deleted since."""
    return [run for run_id in sorted(run_ids) if (run := instance.get_run_by_id(run_id)) is not None]


def first_words(error: SerializableErrorInfo | None) -> str:
    """The first line of what was at the bottom of an error; the lines after it may quote data."""
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip().partition("\n")[0][:500] if error else ""


def occurrence_of(run: DagsterRun) -> str:
    """What PostgreSQL knows the run's one incident by, whoever noticed it."""
    return f"run:{run.run_id}"


def moment(timestamp: float) -> datetime:
    """A moment as Dagster keeps it: seconds since 1970."""
    return datetime.fromtimestamp(timestamp, UTC)


def failed_checks(instance: DagsterInstance, run_id: str) -> list[AssetCheckEvaluation]:
    """The checks of a run that failed, in their order."""
    records = instance.get_records_for_run(run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION).records
    return [check for record in records if not (check := evaluation(record)).passed]


def evaluation(record: EventLogRecord) -> AssetCheckEvaluation:
    """What an event of the kind ASSET_CHECK_EVALUATION holds."""
    event = record.event_log_entry.dagster_event
    if event is None:
        raise AssertionError("an evaluation is an event")
    return event.asset_check_evaluation_data


def facts_of(check: AssetCheckEvaluation) -> dict[str, str]:
    """Expected, actual and difference, as `checks.results` states them; never the offending rows."""
    values = {name: check.metadata.get(name) for name in ("expected", "actual", "difference")}
    return {
        "asset": check.asset_key.to_user_string(),
        "check": check.check_name,
        **{name: "" if value is None else str(value.value)[:500] for name, value in values.items()},
    }
