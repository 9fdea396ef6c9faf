"""Where the report of a close lies and what is said of it. What stands in it: reporting/."""

from pathlib import Path

import pytest
from dagster import AssetSelection

from ledger_assets_tests.assets.conftest import ClosedMonth
from ledger_assets_tests.checks.evaluations import materialization
from ledger_assets_tests.scenario import FIRST_PERIOD, ROWS, execute, materialized, rows_of

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
    assert report["prepared_for_readers"].value == "statistics and indexes; workers: 3"


def test_the_statements_and_figures_of_a_month_stand_in_its_metadata(closed_month: ClosedMonth) -> None:
    report = materialization(closed_month.first, "close_report").metadata
    income = rows_of(
        closed_month.url,
        "SELECT sum(income) AS paid, sum(expense) AS claimed, sum(income - expense) FILTER (WHERE fund = 'TABARRU') AS "
        "result FROM ledger.fund_balance WHERE period = %s",
        FIRST_PERIOD,
    )[0]
    plotted = [report[name].value for name in ("contributions", "claims", "result_TABARRU")]
    assert plotted == [float(income["paid"]), float(income["claimed"]), float(income["result"])]
    assert f"{income['paid']:,}" in report["key_figures"].value
    accounts = [record.data["accounts"] for record in report["trial_balance"].records if record.data["accounts"]]
    assert len(accounts) == 11
    for name in ("profit_and_loss", "balance_sheet", "funds"):
        assert report[name].records
    for name in ("pdf", "xlsx", "balance_sheet_csv"):
        assert Path(report[name].value).is_relative_to(closed_month.home)
    assert "papers_not_made" not in report


def test_a_paper_that_cannot_be_made_undoes_no_close(staged_url: str, ledger_home: Path) -> None:
    (ledger_home / "reports" / FIRST_PERIOD / f"close-report-{FIRST_PERIOD}.pdf" / "in the way").mkdir(parents=True)
    run = materialized(staged_url, FIRST_PERIOD, AssetSelection.all())
    report = materialization(run, "close_report").metadata
    assert run.success
    assert report["status"].value == "Closed"
    assert "close-report-2024-01.pdf" in report["papers_not_made"].value
    assert Path(report["xlsx"].value).exists()


@pytest.mark.usefixtures("ledger_home")
def test_figures_by_product_that_cannot_be_had_undo_no_close(staged_url: str) -> None:
    execute(staged_url, "DROP FUNCTION source.total_by_product(text)")
    report = materialization(materialized(staged_url, FIRST_PERIOD, AssetSelection.all()), "close_report").metadata
    assert report["status"].value == "Closed"
    assert "total_by_product" in report["products_not_added_up"].value


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
