"""Where the report of a close lies and what is said of it. What stands in it: reporting/."""

from pathlib import Path

import pytest
from dagster import AssetSelection

from ledger_assets_tests.assets.conftest import ClosedMonth
from ledger_assets_tests.checks.evaluations import materialization
from ledger_assets_tests.scenario import FIRST_PERIOD, ROWS, execute, materialized

ALONE = AssetSelection.assets("close_report").without_checks()


def test_the_report_of_a_closed_month(closed_month: ClosedMonth) -> None:
    report = materialization(closed_month.first, "close_report").metadata
    assert {name: report[name].value for name in ("status", "entries", "lines", "open_points")} == {
        "status": "Closed",
        "entries": ROWS,
        "lines": 8 * ROWS,
        "open_points": 0,
    }
    assert "In order: every gate passed, every figure ties." in report["summary"].value
    path = Path(report["path"].value)
    assert path.is_relative_to(closed_month.home)
    assert "2024-01-MONTHEND" in path.read_text(encoding="utf-8")


def test_the_posted_rows_are_prepared_for_readers(closed_month: ClosedMonth) -> None:
    report = materialization(closed_month.first, "close_report").metadata
    assert report["prepared_for_readers"].value == "statistics and indexes of 3 workers"


@pytest.mark.usefixtures("ledger_home")
def test_a_month_that_cannot_be_prepared_for_readers_is_closed_all_the_same(staged_url: str) -> None:
    execute(staged_url, "DROP FUNCTION ledger.prepare_for_readers(text, integer)")
    report = materialization(materialized(staged_url, FIRST_PERIOD, AssetSelection.all()), "close_report").metadata
    assert report["status"].value == "Closed"
    assert str(report["prepared_for_readers"].value).startswith("no: ")


def test_a_month_with_open_points_gets_its_report_too(staged_url: str, ledger_home: Path) -> None:
    report = materialization(materialized(staged_url, FIRST_PERIOD, ALONE), "close_report").metadata
    assert report["status"].value == "Not posted"
    assert report["open_points"].value > 0
    assert Path(report["path"].value).is_relative_to(ledger_home)
