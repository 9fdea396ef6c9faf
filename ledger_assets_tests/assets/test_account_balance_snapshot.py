"""What the balances asset shows, and when it refuses to take them."""

from dagster import AssetSelection

from ledger_assets_tests.assets.conftest import ClosedMonth
from ledger_assets_tests.checks.evaluations import failure_of, materialization, shown
from ledger_assets_tests.scenario import FIRST_PERIOD, SECOND_PERIOD, fingerprint, materialized, rows_of

ALONE = AssetSelection.assets("account_balance_snapshot").without_checks()


def test_trial_balance_and_funds_are_shown(closed_month: ClosedMonth) -> None:
    snapshot = materialization(closed_month.first, "account_balance_snapshot")
    accounts = rows_of(
        closed_month.url, "SELECT account_code, closing_balance FROM ledger.account_balance_snapshot ORDER BY 1"
    )
    assert snapshot.metadata["accounts"].value == len(accounts) == 11
    assert [(row["account_code"], row["closing_balance"]) for row in shown(snapshot, "trial_balance")] == [
        (row["account_code"], f"{row['closing_balance']:,}") for row in accounts
    ]
    funds = rows_of(closed_month.url, "SELECT fund, closing_balance FROM ledger.fund_balance ORDER BY fund")
    assert [(row["fund"], row["closing_balance"]) for row in shown(snapshot, "fund_balances")] == [
        (row["fund"], f"{row['closing_balance']:,}") for row in funds
    ]
    assert all(row["fund"] in snapshot.metadata["fund_balances_chart"].value for row in funds)


def test_taking_balances_again_gives_the_same(closed_month: ClosedMonth) -> None:
    first, again = (
        materialization(run, "account_balance_snapshot").metadata for run in (closed_month.first, closed_month.again)
    )
    assert first == again


def test_a_month_that_is_not_posted_has_no_balances(staged_url: str) -> None:
    before = fingerprint(staged_url)
    failure = failure_of(materialized(staged_url, FIRST_PERIOD, ALONE), "account_balance_snapshot")
    assert "2024-01 has no posted batch" in failure.description
    assert "preflight" not in failure.metadata
    assert fingerprint(staged_url) == before


def test_a_month_without_the_one_before_has_no_balances(staged_url: str) -> None:
    failure = failure_of(materialized(staged_url, SECOND_PERIOD, ALONE), "account_balance_snapshot")
    assert failure.metadata["preflight"].value == "PreflightFailed"
    assert failure.metadata["fix"].value == "run ledger-assets close 2024-01 first"
