"""Months that should be closed by now: which, from which moment on, and what is said of them."""

from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import pytest
from dagster import DagsterInstance, SkipReason, build_sensor_context

from ledger_assets.automation.sensors import close_overdue
from ledger_assets.resources import LedgerResource
from ledger_assets.settings import Settings, SettingsError
from ledger_assets.storage.database import connect
from ledger_assets.storage.incidents import incidents, note_operations, report_incident
from ledger_assets.storage.overdue import Overdue, overdue
from ledger_assets.storage.prerequisites import report
from ledger_assets.storage.source_loads import withdraw
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import close_directly, deliver, staged, store_rules


def late(url: str, now: datetime, *, due_day: int = 5) -> list[Overdue]:
    with connect(url) as connection:
        return overdue(connection, due_day=due_day, first_period=JANUARY, now=now)


def periods(months: list[Overdue]) -> list[str]:
    return [month.period for month in months]


def test_books_without_anything_are_never_overdue(ledger_url: str) -> None:
    assert late(ledger_url, datetime(2030, 1, 1, tzinfo=UTC)) == []


def test_a_month_is_in_time_until_its_day_has_passed(ledger_url: str, tmp_path: Path) -> None:
    store_rules(ledger_url)
    deliver(ledger_url, JANUARY, folder=tmp_path)
    assert late(ledger_url, datetime(2024, 2, 5, 23, 59, tzinfo=UTC)) == []
    staged(ledger_url, JANUARY)
    (month,) = late(ledger_url, datetime(2024, 2, 6, tzinfo=UTC))
    assert month == Overdue(JANUARY, date(2024, 2, 5), 1, "CLOSING", 1, "2024-01-MONTHEND VALIDATING")
    assert month.expected == "2024-01 closed by 2024-02-05"
    assert month.actual == "CLOSING, 1 day late, 2024-01-MONTHEND VALIDATING"
    assert "ledger-assets status 2024-01" in month.what_to_do
    assert late(ledger_url, datetime(2024, 2, 6, tzinfo=UTC), due_day=10) == []
    close_directly(ledger_url, JANUARY)
    assert late(ledger_url, datetime(2030, 1, 1, tzinfo=UTC)) == []


def test_of_empty_months_before_one_that_counts_the_next_to_be_closed_is_overdue(
    ledger_url: str, tmp_path: Path
) -> None:
    """Ten of them would be ten messages about one thing to do."""
    store_rules(ledger_url)
    deliver(ledger_url, JANUARY, folder=tmp_path)
    with connect(ledger_url) as connection:
        report(connection, "2024-05", "PAYROLL", reported_by="payroll")
    assert periods(late(ledger_url, datetime(2024, 5, 20, tzinfo=UTC))) == [JANUARY]
    assert periods(late(ledger_url, datetime(2024, 6, 20, tzinfo=UTC))) == [JANUARY, "2024-05"]
    staged(ledger_url, JANUARY)
    close_directly(ledger_url, JANUARY)
    assert periods(late(ledger_url, datetime(2024, 6, 20, tzinfo=UTC))) == ["2024-02", "2024-05"]


def test_no_month_is_overdue_because_of_one_that_has_not_begun(ledger_url: str, tmp_path: Path) -> None:
    """A load of a mistyped month, which stands until it is withdrawn, makes no noise about all months up to it."""
    store_rules(ledger_url)
    deliver(ledger_url, "2031-01", folder=tmp_path)
    deliver(ledger_url, JANUARY, folder=tmp_path)
    assert periods(late(ledger_url, datetime(2024, 5, 20, tzinfo=UTC))) == [JANUARY]
    staged(ledger_url, JANUARY)
    close_directly(ledger_url, JANUARY)
    assert late(ledger_url, datetime(2024, 5, 20, tzinfo=UTC)) == []


def test_the_sensor_names_them_and_starts_nothing(
    ledger_url: str, instance: DagsterInstance, resource: LedgerResource, tmp_path: Path
) -> None:
    context = build_sensor_context(instance=instance, resources={"ledger": resource})
    outcome = close_overdue(context)
    assert isinstance(outcome, SkipReason)
    assert outcome.skip_message == "no month is overdue; a month is due on day 5 of the following one"
    deliver(ledger_url, JANUARY, folder=tmp_path)
    outcome = close_overdue(context)
    assert isinstance(outcome, SkipReason)
    assert str(outcome.skip_message).startswith("2024-01 closed by 2024-02-05: OPEN, ")


def test_somebody_is_told_of_an_overdue_month_once(
    ledger_url: str, instance: DagsterInstance, resource: LedgerResource, tmp_path: Path
) -> None:
    """Also when a tick dies between the incident and its cursor; and it is over when the month is closed."""
    store_rules(ledger_url)
    deliver(ledger_url, JANUARY, folder=tmp_path)
    for _ in range(2):
        for _ in range(2):
            close_overdue(build_sensor_context(instance=instance, resources={"ledger": resource}))
        with connect(ledger_url) as connection:
            (found,) = incidents(connection)
        assert (found["kind"], found["subject"], found["severity"]) == ("CLOSE_OVERDUE", JANUARY, "ERROR")
        assert found["expected"] == "2024-01 closed by 2024-02-05"
        assert found["times_seen"] == 1
    staged(ledger_url, JANUARY)
    close_directly(ledger_url, JANUARY)
    close_overdue(build_sensor_context(instance=instance, resources={"ledger": resource}))
    with connect(ledger_url) as connection:
        note_operations(connection)
        assert incidents(connection, only_open=True) == []


def test_a_month_of_which_nothing_is_expected_any_more_is_not_overdue_any_more(
    ledger_url: str, instance: DagsterInstance, resource: LedgerResource, tmp_path: Path
) -> None:
    """The file was for another month and is withdrawn. What another program says of the same month is its to end."""
    load = deliver(ledger_url, JANUARY, folder=tmp_path)
    tick = partial(close_overdue, build_sensor_context(instance=instance, resources={"ledger": resource}))
    tick()
    with connect(ledger_url) as connection:
        report_incident(connection, kind="CLOSE_OVERDUE", subject="2023-12", period="2023-12")
        withdraw(connection, load.load_id, reason="it is of March", by="tester")
    assert tick().skip_message.startswith("no month is overdue")
    with connect(ledger_url) as connection:
        assert [found["subject"] for found in incidents(connection, only_open=True)] == ["2023-12"]


@pytest.mark.parametrize("value", ["0", "29", "five", "-1", "05"])
def test_a_due_day_is_one_that_every_month_has(value: str) -> None:
    with pytest.raises(SettingsError, match="LEDGER_CLOSE_DUE_DAY"):
        Settings.from_environment({"LEDGER_CLOSE_DUE_DAY": value})
    assert Settings.from_environment({"LEDGER_CLOSE_DUE_DAY": "28"}).close_due_day == 28
