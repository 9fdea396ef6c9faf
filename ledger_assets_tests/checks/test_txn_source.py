"""What the checks on deliveries report, and that staging waits for them."""

from pathlib import Path

import pytest
from dagster import AssetSelection

from ledger_assets.storage.database import connect
from ledger_assets.storage.source_loads import withdraw
from ledger_assets_tests.checks.evaluations import evaluated, materializations, shown
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import (
    close_directly,
    deliver,
    execute,
    materialized,
    run_month_close,
    staged_tables,
    store_rules,
)

pytestmark = pytest.mark.usefixtures("ledger_home")
CHECKS = AssetSelection.checks_for_assets("txn_source")


@pytest.fixture
def books(ledger_url: str) -> str:
    """Books with their rules."""
    store_rules(ledger_url)
    return ledger_url


def test_refused_rows_are_shown_without_their_content(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path, defects=["zero_amount", "missing_policy"])
    checks = evaluated(materialized(books, JANUARY, CHECKS))
    assert (checks["loads_intact"].passed, checks["rejected_rows_resolved"].passed) == (True, False)
    refused = checks["rejected_rows_resolved"]
    assert (refused.metadata["expected"].value, refused.metadata["actual"].value) == ("0", "2")
    assert shown(refused, "first_offending_rows") == [
        {
            "file_name": "2024-01-1-zero_amount-missing_policy.csv",
            "row_number": "2",
            "txn_id": "TXN-202401-1-000000002",
            "reasons": "ZERO_AMOUNT",
        },
        {
            "file_name": "2024-01-1-zero_amount-missing_policy.csv",
            "row_number": "4",
            "txn_id": "TXN-202401-1-000000004",
            "reasons": "MISSING_POLICY",
        },
    ]


def test_nothing_is_staged_while_a_delivery_is_in_doubt(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    execute(books, "DELETE FROM source.txn_source WHERE row_number = 7")
    run = run_month_close(books, JANUARY)
    intact = evaluated(run)["loads_intact"]
    assert not intact.passed
    assert [row["measure"] for row in shown(intact, "comparisons")] == ["load 1 rows", "load 1 checksum"]
    assert materializations(run) == ["journal_templates", "txn_source"]
    assert staged_tables(books) == []


def test_loads_that_are_posted_or_withdrawn_are_not_asked_about(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    close_directly(books, JANUARY)
    late = deliver(books, JANUARY, folder=tmp_path, seed=2, defects=["zero_amount"])
    with connect(books) as connection:
        withdraw(connection, late.load_id, reason="wrong file", by="operations")
    checks = evaluated(materialized(books, JANUARY, CHECKS))
    assert all(check.passed for check in checks.values())
    assert checks["loads_intact"].metadata["comparisons"].value == "none"
