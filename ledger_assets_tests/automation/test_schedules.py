"""The close by the clock, and the order of months that wait for their turn."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus, RunRequest, SkipReason, build_schedule_context
from dagster._core.storage.tags import PARTITION_NAME_TAG
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from ledger_assets.automation.schedules import month_close_on_last_day
from ledger_assets.close_result import Outcome
from ledger_assets.definitions import defs
from ledger_assets.resources import LedgerResource
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import SECOND_PERIOD as FEBRUARY
from ledger_assets_tests.scenario import close, close_directly, deliver, staged_tables, store_rules


def tick(instance: DagsterInstance, resource: LedgerResource, day: datetime) -> RunRequest | str:
    context = build_schedule_context(instance, day, resources={"ledger": resource})
    outcome = month_close_on_last_day(context)
    assert isinstance(outcome, RunRequest | SkipReason)
    return outcome if isinstance(outcome, RunRequest) else str(outcome.skip_message)


@pytest.fixture
def kept_instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    """An instance that a schedule can be given: it asks for one that can be found again."""
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def test_the_month_is_closed_on_its_last_day_if_it_can_be(
    ledger_url: str, kept_instance: DagsterInstance, resource: LedgerResource
) -> None:
    instance = kept_instance
    last_of_january, last_of_february = (datetime(2024, *day, 23, tzinfo=UTC) for day in ((1, 31), (2, 29)))
    store_rules(ledger_url)
    assert tick(instance, resource, last_of_february) == (
        "2024-02 waits for 2024-01, which is not closed: close that month first"
    )
    asked = tick(instance, resource, last_of_january)
    assert isinstance(asked, RunRequest)
    assert asked.partition_key == JANUARY
    run = instance.create_run_for_job(
        defs.resolve_job_def("month_close"), status=DagsterRunStatus.STARTED, tags={PARTITION_NAME_TAG: JANUARY}
    )
    assert tick(instance, resource, last_of_january) == f"2024-01 is being closed by run {run.run_id[:8]}"
    close_directly(ledger_url, JANUARY)
    assert tick(instance, resource, last_of_january) == "2024-01 is closed"
    asked = tick(instance, resource, last_of_february)
    assert isinstance(asked, RunRequest)
    assert asked.partition_key == FEBRUARY


def test_months_that_wait_go_in_their_order_however_they_were_launched(instance: DagsterInstance) -> None:
    """Dagster's own queue sorts them: a run that is tried again is not behind the months that need it."""
    job = defs.resolve_job_def("month_close")
    assert job.partitioned_config is not None
    months = ["2025-03", "2024-12", "2025-01", "2024-02"]
    runs = [
        instance.create_run_for_job(job, tags=job.partitioned_config.get_tags_for_partition_key(month, job.name))
        for month in months
    ]
    ordered = QueuedRunCoordinatorDaemon(1)._priority_sort(runs)
    assert [run.tags[PARTITION_NAME_TAG] for run in ordered] == sorted(months)


@pytest.mark.usefixtures("ledger_home")
def test_months_after_one_that_failed_end_at_once_and_leave_nothing(ledger_url: str, tmp_path: Path) -> None:
    """What a backfill comes to whose month in the middle fails."""
    store_rules(ledger_url)
    months = {JANUARY: ("unknown_product",), FEBRUARY: ()}
    for month, defects in months.items():
        deliver(ledger_url, month, folder=tmp_path, defects=defects)
    closed = {month: close(ledger_url, month) for month in months}
    assert [one.outcome for one in closed.values()] == [
        Outcome.GATE_FAILED,
        Outcome.PREFLIGHT_FAILED,
    ]
    assert "2024-02 waits for 2024-01, which is not closed" in closed[FEBRUARY].problem
    assert not [name for name in staged_tables(ledger_url) if "2024_02" in name]
