"""What was reported and announced of a month holds its close up, for every client, until it is as it should be."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.close_result import Outcome
from ledger_assets.storage.batches import PreflightFailed
from ledger_assets.storage.database import as_role, connect
from ledger_assets.storage.derived_batches import close_year
from ledger_assets.storage.prerequisites import announce, of_month, report, require
from ledger_assets.storage.source_loads import acknowledge_rejections, withdraw
from ledger_assets_tests.logins import batch_admin, superuser
from ledger_assets_tests.scenario import (
    ACTOR,
    close_directly,
    deliver,
    execute,
    opened,
    post,
    rows_of,
    staged,
    store_rules,
    value_of,
)
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import SECOND_PERIOD as FEBRUARY

Totals = dict[str, tuple[int, Decimal]]


@pytest.fixture
def books(ledger_url: str, tmp_path: Path) -> str:
    """Books whose January is delivered."""
    store_rules(ledger_url)
    deliver(ledger_url, JANUARY, folder=tmp_path)
    return ledger_url


def says(url: str, name: str, status: str, period: str = JANUARY, reference: str | None = None) -> int:
    with connect(url) as connection:
        return report(connection, period, name, status=status, reference=reference, reported_by="payroll system")


def announces(url: str, txn_type: str, rows: int, gross: Decimal | str, period: str = JANUARY) -> int:
    with connect(url) as connection:
        return announce(
            connection, period, txn_type, row_count=rows, gross=Decimal(gross), announced_by="source system"
        )


def requires(url: str, name: str, *, required: bool = True, description: str | None = None) -> bool:
    with connect(batch_admin(url)) as connection:
        return require(connection, name, required=required, description=description, performed_by="controller")


def loaded(url: str, period: str = JANUARY) -> Totals:
    """The types and totals of the rows themselves."""
    found = rows_of(
        url,
        "SELECT txn_type, count(*) AS n, sum(gross_amount) AS gross FROM source.txn_source "
        "WHERE period = %s GROUP BY txn_type",
        period,
    )
    return {row["txn_type"]: (row["n"], row["gross"]) for row in found}


def announce_what_is_loaded(url: str, period: str = JANUARY) -> None:
    for txn_type, (rows, gross) in loaded(url, period).items():
        announces(url, txn_type, rows, gross, period)


def holding(url: str, period: str = JANUARY) -> dict[str, str]:
    """Rule and problem of what holds a month up."""
    with connect(url) as connection:
        return {row["rule"]: row["problem"] for row in of_month(connection, period)["waits_for"]}


def trail(url: str, operation: str) -> list[tuple[Any, ...]]:
    rows = rows_of(
        url,
        "SELECT period, performed_by, state_before, state_after, outcome FROM audit.batch_operation "
        "WHERE operation = %s ORDER BY operation_id",
        operation,
    )
    return [tuple(row.values()) for row in rows]


# ------------------------------------------------------------------------------------------------ prerequisites


def test_a_month_of_which_nobody_said_anything_waits_for_nothing(books: str) -> None:
    assert holding(books) == {}
    assert close_directly(books, JANUARY).outcome == Outcome.POSTED


@pytest.mark.parametrize("status", ["RUNNING", "FAILED"])
@pytest.mark.parametrize("kind", ["MONTHEND", "DRYRUN"])
def test_what_was_reported_holds_the_close_up_until_it_is_complete(books: str, status: str, kind: str) -> None:
    says(books, "PAYROLL", status)
    says(books, "AP_CLOSE", "COMPLETE")
    with pytest.raises(
        PreflightFailed, match=rf"2024-01 waits: PAYROLL is {status} since .* UTC\. Fix: .*report"
    ) as refused:
        opened(books, JANUARY, kind=kind)
    assert "report-prerequisite 2024-01 PAYROLL" in refused.value.fix
    assert value_of(books, "SELECT count(*) FROM control.batch") == 0
    assert trail(books, "INITIATE") == [(JANUARY, ACTOR, None, None, "FAILED")]
    says(books, "PAYROLL", "COMPLETE")
    assert opened(books, JANUARY, kind=kind)[0] is not None


def test_a_required_prerequisite_has_to_be_reported(books: str) -> None:
    assert requires(books, "ADJUSTMENTS")
    assert not requires(books, "ADJUSTMENTS"), "it was required before"
    assert holding(books) == {"prerequisites_complete": "2024-01 waits: ADJUSTMENTS is required, and was not reported"}
    says(books, "ADJUSTMENTS", "COMPLETE", period=FEBRUARY)
    assert holding(books) != {}, "February's report says nothing of January"
    says(books, "ADJUSTMENTS", "COMPLETE")
    assert holding(books) == {}
    assert requires(books, "REINSURANCE", description="the reinsurer's statement is booked")
    assert list(holding(books)) == ["prerequisites_complete"]
    assert requires(books, "REINSURANCE", required=False)
    assert holding(books) == {}


def test_the_latest_report_counts_and_every_one_is_kept(books: str) -> None:
    numbers = [says(books, "PAYROLL", status) for status in ("RUNNING", "FAILED", "COMPLETE", "COMPLETE")]
    assert numbers[2] == numbers[3], "saying the same again is no new report"
    assert holding(books) == {}
    kept = rows_of(books, "SELECT status, reported_by FROM control.prerequisite_report ORDER BY report_id")
    assert [row["status"] for row in kept] == ["RUNNING", "FAILED", "COMPLETE"]
    assert [(before, after) for _, _, before, after, _ in trail(books, "REPORT_PREREQUISITE")] == [
        (None, "RUNNING"), ("RUNNING", "FAILED"), ("FAILED", "COMPLETE"),
    ]  # fmt: skip
    for table in ("prerequisite_report", "source_announcement"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            execute(books, f"DELETE FROM control.{table}")


@pytest.mark.parametrize(
    ("name", "status", "rule"),
    [("PAYROL", "COMPLETE", "no such prerequisite"), ("PAYROLL", "DONE", "RUNNING, COMPLETE or FAILED")],
)
def test_a_report_of_something_else_is_refused_and_recorded(books: str, name: str, status: str, rule: str) -> None:
    with pytest.raises(LedgerError, match=rule):
        says(books, name, status)
    assert [outcome for *_, outcome in trail(books, "REPORT_PREREQUISITE")] == ["FAILED"]
    assert value_of(books, "SELECT count(*) FROM control.prerequisite_report") == 0


def test_nothing_is_said_of_a_month_that_has_not_begun(books: str) -> None:
    """All that was said is kept: a mistyped year would stand for good, and be waited for."""
    with pytest.raises(LedgerError, match="2100-02: this month has not begun"):
        says(books, "PAYROLL", "COMPLETE", period="2100-02")
    with pytest.raises(LedgerError, match="2100-02: this month has not begun"):
        announces(books, "PREMIUM", 1, "1.00", period="2100-02")
    (this_month,) = rows_of(books, "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM') AS name")
    says(books, "PAYROLL", "RUNNING", period=this_month["name"])


def test_other_systems_report_in_sql_with_the_rights_of_an_operator(books: str) -> None:
    with connect(as_role(superuser(books), "batch_operator")) as connection:
        connection.execute(
            "SELECT control.report_prerequisite('2024-01', 'PAYROLL', 'RUNNING', 'JOB-77', 'payroll'), "
            "control.announce_source('2024-01', 'PREMIUM', 1, 0.01, NULL, 'policy system')"
        )
    assert set(holding(books)) == {"prerequisites_complete", "announced_totals_arrived"}


# ------------------------------------------------------------------------------------------------ announced totals


def test_exactly_what_was_announced_has_to_be_loaded(books: str) -> None:
    totals = loaded(books)
    assert set(totals) == {"PREMIUM", "CLAIM"}
    rows, gross = totals["PREMIUM"]
    announces(books, "PREMIUM", rows + 1, gross)
    with pytest.raises(
        PreflightFailed, match=f"PREMIUM announced {rows + 1} rows of .*, loaded {rows} rows of .*-1 rows"
    ):
        opened(books, JANUARY)
    announces(books, "PREMIUM", rows, gross + Decimal("0.01"))
    assert holding(books)["announced_totals_arrived"].endswith("difference 0 rows and -0.01")
    announces(books, "PREMIUM", rows, gross)
    assert holding(books) == {}, "the claims were not announced and are not compared"
    announces(books, "SURPLUS", 1, "5")
    assert "SURPLUS announced 1 rows of 5.00, loaded 0 rows of 0.00" in holding(books)["announced_totals_arrived"]
    announces(books, "SURPLUS", 0, "0")
    assert holding(books) == {}
    assert value_of(books, "SELECT count(*) FROM control.source_announcement") == 5
    assert len(trail(books, "ANNOUNCE_SOURCE")) == 5


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(-3, 3), cents=st.integers(-3, 3))
def test_no_difference_is_too_small_and_none_is_invented(books: str, rows: int, cents: int) -> None:
    n, gross = loaded(books)["PREMIUM"]
    announces(books, "PREMIUM", n + rows, gross + Decimal(cents) / 100)
    assert bool(holding(books)) == bool(rows or cents)


def test_a_refused_row_is_missing_until_it_is_delivered_or_no_longer_announced(ledger_url: str, tmp_path: Path) -> None:
    store_rules(ledger_url)
    load = deliver(ledger_url, JANUARY, folder=tmp_path, defects=["zero_amount"])
    assert load.rejected_count == 1
    totals = loaded(ledger_url)
    txn_type = "PREMIUM"
    announces(ledger_url, txn_type, totals[txn_type][0] + 1, totals[txn_type][1] + 1)
    with connect(ledger_url) as connection:
        acknowledge_rejections(connection, JANUARY, reason="a test row", by=ACTOR)
    assert list(holding(ledger_url)) == ["announced_totals_arrived"]
    announces(ledger_url, txn_type, *totals[txn_type])
    assert close_directly(ledger_url, JANUARY).outcome == Outcome.POSTED


def test_rows_that_came_twice_count_once_and_those_of_a_withdrawn_load_do_not(books: str, tmp_path: Path) -> None:
    announce_what_is_loaded(books)
    again = tmp_path / "again"
    again.mkdir()
    more = deliver(books, JANUARY, folder=again, rows=70)
    assert more.unchanged_count > 0
    assert list(holding(books)) == ["announced_totals_arrived"]
    announce_what_is_loaded(books)
    assert holding(books) == {}
    with connect(books) as connection:
        withdraw(connection, more.load_id, reason="too much", by=ACTOR)
    assert list(holding(books)) == ["announced_totals_arrived"]
    announce_what_is_loaded(books)
    assert close_directly(books, JANUARY).outcome == Outcome.POSTED


def test_late_rows_that_nobody_announced_are_not_booked_in_the_next_month(books: str, tmp_path: Path) -> None:
    announce_what_is_loaded(books)
    assert close_directly(books, JANUARY).outcome == Outcome.POSTED
    deliver(books, FEBRUARY, folder=tmp_path)
    assert opened(books, FEBRUARY, kind="DRYRUN")[0] is not None
    deliver(books, JANUARY, folder=tmp_path, seed=2, rows=10)
    with pytest.raises(PreflightFailed, match="PREMIUM of 2024-01 announced"):
        opened(books, FEBRUARY)
    announce_what_is_loaded(books)
    assert close_directly(books, FEBRUARY).outcome == Outcome.POSTED


@pytest.mark.parametrize(
    ("rows", "gross"),
    [(1, "1.001"), (1, "NaN"), (1, "Infinity"), (1, "-1"), (0, "1"), (1, "0"), (-1, "1"), (1, "1e36")],
)
def test_totals_that_cannot_be_are_refused_and_nothing_is_rounded(books: str, rows: int, gross: str) -> None:
    with pytest.raises(LedgerError):
        announces(books, "PREMIUM", rows, gross)
    assert value_of(books, "SELECT count(*) FROM control.source_announcement") == 0
    assert [outcome for *_, outcome in trail(books, "ANNOUNCE_SOURCE")] == ["FAILED"]


def test_a_type_is_a_code_and_not_somebodys_name(books: str) -> None:
    with pytest.raises(LedgerError, match="written as a code") as refused:
        announces(books, "Siti Rahma", 1, "1")
    assert "Siti" not in str(refused.value)


# ------------------------------------------------------------------------------------------------ months that go on


def test_a_closed_month_into_which_nothing_more_is_booked_waits_for_nothing(books: str) -> None:
    assert close_directly(books, JANUARY).outcome == Outcome.POSTED
    says(books, "PAYROLL", "FAILED")
    announces(books, "PREMIUM", 1, "1")
    assert holding(books) == {}
    assert close_directly(books, JANUARY).outcome == Outcome.NOTHING_NEW


def test_what_is_reported_before_the_posting_stops_it(books: str) -> None:
    batch = staged(books, JANUARY)
    says(books, "PAYROLL", "FAILED")
    with pytest.raises(PreflightFailed, match="PAYROLL is FAILED"):
        post(books, batch)


def test_a_posted_month_is_not_closed_while_it_waits(books: str) -> None:
    post(books, staged(books, JANUARY))
    announces(books, "PREMIUM", 1, "1")
    with pytest.raises(PreflightFailed, match="2024-01 cannot be closed yet: announced totals"):
        close_directly(books, JANUARY)
    announce_what_is_loaded(books)
    assert close_directly(books, JANUARY).outcome == Outcome.NOTHING_NEW


@pytest.fixture
def december(ledger_url: str, tmp_path: Path) -> str:
    """Books of one closed December."""
    store_rules(ledger_url)
    deliver(ledger_url, "2024-12", folder=tmp_path)
    assert close_directly(ledger_url, "2024-12", first_period="2024-12").outcome == Outcome.POSTED
    return ledger_url


def test_a_year_ends_although_something_was_announced_since(december: str) -> None:
    announces(december, "PREMIUM", 1, "1", period="2024-12")
    says(december, "PAYROLL", "FAILED", period="2024-12")
    batch = close_year(
        december, "2024", opened_by=batch_admin(december), reason="year end", confirmation="2024",
        first_period="2024-12", performed_by=ACTOR,
    )  # fmt: skip
    assert batch.state == "COMMITTED"
    assert value_of(december, "SELECT status FROM control.period WHERE period = '2024-12'") == "CLOSED"
