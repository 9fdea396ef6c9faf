"""A month's close starts by itself when everything has arrived: once for each situation; other ticks say why not."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus, RunRequest, SkipReason, build_sensor_context
from dagster._core.storage.tags import PARTITION_NAME_TAG

from ledger_assets.automation.sensors import start_month_close
from ledger_assets.definitions import defs
from ledger_assets.resources import LedgerResource
from ledger_assets.storage.database import connect
from ledger_assets.storage.inbox import ingest_inbox
from ledger_assets.storage.periods import lock, reopen
from ledger_assets.storage.prerequisites import announce, report
from ledger_assets.storage.source_loads import withdraw
from ledger_assets_tests.logins import batch_admin
from ledger_assets_tests.scenario import ACTOR, close_directly, deliver, generated, rows_of, store_rules
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import SECOND_PERIOD as FEBRUARY

ALL = ("ADJUSTMENTS", "AP_CLOSE", "AR_CLOSE", "PAYROLL")
Tick = Callable[[], RunRequest | str]


pytestmark = pytest.mark.usefixtures("ledger_home")


@pytest.fixture
def books(ledger_url: str) -> str:
    """Books with their rules, and an inbox of their own."""
    store_rules(ledger_url)
    return ledger_url


@pytest.fixture
def tick(instance: DagsterInstance, resource: LedgerResource) -> Tick:
    """One tick of the sensor after the other, each with the cursor of the last: what it starts, or why it does not."""
    cursors: list[str | None] = [None]

    def tick() -> RunRequest | str:
        context = build_sensor_context(
            instance=instance, cursor=cursors[-1], resources={"ledger": resource}, definitions=defs
        )
        outcome = start_month_close(context)
        cursors.append(context.cursor)
        assert isinstance(outcome, RunRequest | SkipReason)
        return outcome if isinstance(outcome, RunRequest) else str(outcome.skip_message)

    return tick


def says(url: str, *names: str, status: str = "COMPLETE", period: str = JANUARY) -> None:
    with connect(url) as connection:
        for name in names:
            report(connection, period, name, status=status, reported_by="another system")


def announces(url: str, rows: int, gross: Decimal | str, period: str = JANUARY) -> None:
    with connect(url) as connection:
        announce(connection, period, "PREMIUM", row_count=rows, gross=Decimal(gross), announced_by="source")


def announce_what_is_loaded(url: str, period: str = JANUARY) -> None:
    ((row),) = rows_of(
        url,
        "SELECT count(*) AS n, sum(gross_amount) AS gross FROM source.txn_source "
        "WHERE txn_type = 'PREMIUM' AND period = %s",
        period,
    )
    announces(url, row["n"], row["gross"], period)


def into_the_inbox(home: Path, folder: Path, *, seed: int = 1) -> Path:
    inbox = home / "inbox" / JANUARY
    inbox.mkdir(parents=True, exist_ok=True)
    return generated(folder, JANUARY, seed=seed).rename(inbox / f"{seed}.csv")


# ------------------------------------------------------------------------------------------------ reasons


def test_who_reports_nothing_is_not_surprised(books: str, tick: Tick, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    assert tick() == (
        "2024-01 waits for ADJUSTMENTS (not reported), AP_CLOSE (not reported), AR_CLOSE (not reported), "
        "PAYROLL (not reported), the source's announced totals (none arrived)"
    )


def test_each_tick_says_what_is_missing_and_the_last_report_starts_the_close(
    books: str, tick: Tick, tmp_path: Path
) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    says(books, "ADJUSTMENTS", "AP_CLOSE", "AR_CLOSE")
    says(books, "PAYROLL", status="RUNNING")
    announces(books, 1, "12345.60")
    reason = str(tick())
    assert reason.startswith("2024-01 waits for PAYROLL (RUNNING since 20")
    assert "PREMIUM (announced 1 rows of 12,345.60, loaded 49 rows of " in reason
    assert tick() == reason, "an idle tick gives the same reason"
    announce_what_is_loaded(books)
    assert str(tick()).startswith("2024-01 waits for PAYROLL")
    says(books, "PAYROLL")
    started = tick()
    assert isinstance(started, RunRequest)
    assert started.partition_key == JANUARY


def test_the_run_that_is_asked_for_is_one_that_dagster_takes(books: str, tick: Tick, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    says(books, *ALL)
    announce_what_is_loaded(books)
    started = tick()
    assert isinstance(started, RunRequest)
    resolved = started.with_resolved_tags_and_config(defs.resolve_job_def("month_close"), None, None)
    assert resolved.tags[PARTITION_NAME_TAG] == JANUARY
    assert int(resolved.tags["dagster/priority"]) > 0


# ------------------------------------------------------------------------------------------------ once


def ready(url: str, folder: Path) -> None:
    deliver(url, JANUARY, folder=folder)
    says(url, *ALL)
    announce_what_is_loaded(url)


def test_a_close_that_failed_is_not_repeated_until_something_changes(books: str, tick: Tick, tmp_path: Path) -> None:
    ready(books, tmp_path)
    first = tick()
    for _ in range(3):
        assert str(tick()).startswith("2024-01 was started, and nothing was reported, announced or loaded since")
    deliver(books, JANUARY, folder=tmp_path, seed=2)
    assert "PREMIUM (announced 49 rows" in str(tick())
    announce_what_is_loaded(books)
    again = tick()
    assert isinstance(first, RunRequest)
    assert isinstance(again, RunRequest)
    assert first.run_key != again.run_key


def test_a_lost_cursor_asks_for_the_same_run_which_dagster_knows(
    books: str, instance: DagsterInstance, resource: LedgerResource, tmp_path: Path
) -> None:
    ready(books, tmp_path)
    keys = set()
    for _ in range(2):
        asked = start_month_close(build_sensor_context(instance=instance, resources={"ledger": resource}))
        assert isinstance(asked, RunRequest)
        keys.add(asked.run_key)
    assert len(keys) == 1


def test_a_month_that_is_being_closed_is_left_alone(
    books: str, tick: Tick, instance: DagsterInstance, tmp_path: Path
) -> None:
    ready(books, tmp_path)
    run = instance.create_run_for_job(
        defs.resolve_job_def("month_close"), status=DagsterRunStatus.STARTED, tags={PARTITION_NAME_TAG: JANUARY}
    )
    assert tick() == f"2024-01 is being closed by run {run.run_id[:8]}"
    instance.delete_run(run.run_id)
    assert isinstance(tick(), RunRequest)


# ------------------------------------------------------------------------------------------------ closed months


def test_a_closed_month_is_left_alone_and_the_next_one_is_asked_for(books: str, tick: Tick, tmp_path: Path) -> None:
    ready(books, tmp_path)
    assert isinstance(tick(), RunRequest)
    close_directly(books, JANUARY)
    assert str(tick()).startswith("2024-02 waits for ADJUSTMENTS")
    says(books, "PAYROLL", status="RUNNING")
    assert str(tick()).startswith("2024-02 waits for ADJUSTMENTS"), "nothing of January is to be booked"


def test_a_closed_month_is_closed_again_for_late_rows_that_are_announced(
    books: str, tick: Tick, tmp_path: Path
) -> None:
    ready(books, tmp_path)
    close_directly(books, JANUARY)
    deliver(books, JANUARY, folder=tmp_path, seed=2)
    assert str(tick()).startswith("2024-01 waits for PREMIUM (announced 49 rows")
    announce_what_is_loaded(books)
    started = tick()
    assert isinstance(started, RunRequest)
    assert started.partition_key == JANUARY


def test_a_locked_month_is_never_started(books: str, tick: Tick, tmp_path: Path) -> None:
    ready(books, tmp_path)
    close_directly(books, JANUARY)
    with connect(batch_admin(books)) as connection:
        lock(connection, JANUARY, performed_by=ACTOR)
    deliver(books, JANUARY, folder=tmp_path, seed=2)
    announce_what_is_loaded(books)
    assert str(tick()).startswith("2024-02 waits for ADJUSTMENTS")


def test_a_reopened_month_is_closed_by_whom_it_was_reopened_for(books: str, tick: Tick, tmp_path: Path) -> None:
    ready(books, tmp_path)
    close_directly(books, JANUARY)
    with connect(batch_admin(books)) as connection:
        reopen(connection, JANUARY, reason="a correction", performed_by=ACTOR)
    assert tick() == "2024-01 waits for a person, because it was reopened: ledger-assets close 2024-01"


def test_a_month_that_has_not_begun_waits_for_its_first_day(
    instance: DagsterInstance, resource: LedgerResource
) -> None:
    later = LedgerResource(url=resource.url, first_period="2999-01")
    outcome = start_month_close(build_sensor_context(instance=instance, resources={"ledger": later}))
    assert isinstance(outcome, SkipReason)
    assert outcome.skip_message == "2999-01 waits for its first day"


# ------------------------------------------------------------------------------------------------ the inbox


def test_files_in_the_inbox_start_a_close_which_takes_them_in(
    books: str, tick: Tick, ledger_home: Path, resource: LedgerResource, tmp_path: Path
) -> None:
    says(books, *ALL)
    announces(books, 48, "1.00")
    assert "loaded 0 rows" in str(tick())
    into_the_inbox(ledger_home, tmp_path)
    assert isinstance(tick(), RunRequest)
    assert len(list(ingest_inbox(books, resource.settings, JANUARY, loaded_by=ACTOR))) == 1
    assert str(tick()).startswith("2024-01 was started"), "what the run itself loaded is nothing new"
    into_the_inbox(ledger_home, tmp_path, seed=2)
    assert isinstance(tick(), RunRequest), "another file is"


def test_a_file_whose_load_was_withdrawn_starts_nothing(
    books: str, tick: Tick, ledger_home: Path, resource: LedgerResource, tmp_path: Path
) -> None:
    says(books, *ALL)
    announces(books, 48, "1.00")
    into_the_inbox(ledger_home, tmp_path)
    (load,) = ingest_inbox(books, resource.settings, JANUARY, loaded_by=ACTOR)
    with connect(books) as connection:
        withdraw(connection, load.load_id, reason="faulty", by=ACTOR)
    assert "2024-01 waits for PREMIUM (announced 48 rows of 1.00, loaded 0 rows" in str(tick())


def test_february_waits_for_late_rows_of_january_to_be_announced(books: str, tick: Tick, tmp_path: Path) -> None:
    ready(books, tmp_path)
    close_directly(books, JANUARY)
    deliver(books, FEBRUARY, folder=tmp_path)
    says(books, *ALL, period=FEBRUARY)
    announce_what_is_loaded(books, FEBRUARY)
    deliver(books, JANUARY, folder=tmp_path, seed=2)
    says(books, "PAYROLL", status="RUNNING")
    announce_what_is_loaded(books)
    started = tick()
    assert isinstance(started, RunRequest), (
        "January waits for PAYROLL, and its late rows are announced: February books them"
    )
    assert started.partition_key == FEBRUARY
