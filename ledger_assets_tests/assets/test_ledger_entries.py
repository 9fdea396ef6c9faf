"""What the commit shows, and what it refuses to begin."""

import pytest
from dagster import AssetSelection

from ledger_assets_tests.assets.conftest import ClosedMonth
from ledger_assets_tests.checks.evaluations import failure_of, materialization, shown
from ledger_assets_tests.scenario import FIRST_PERIOD, ROWS, batch_of, fingerprint, materialized
from ledger_assets_tests.tampering import LEAF, tamper

ALONE = AssetSelection.assets("ledger_entries").without_checks()


def test_batch_numbers_and_history_are_shown(closed_month: ClosedMonth) -> None:
    posted = materialization(closed_month.first, "ledger_entries")
    assert {name: posted.metadata[name].value for name in ("batch", "outcome", "entries", "lines", "numbers")} == {
        "batch": "2024-01-MONTHEND",
        "outcome": "posted",
        "entries": ROWS,
        "lines": 8 * ROWS,
        "numbers": "1 to 60",
    }
    (batch,) = shown(posted, "batches_of_the_period")
    assert (batch["batch_id"], batch["rules"], batch["entry_count"]) == ("2024-01-MONTHEND", "combined v1", "60")


def test_posting_again_says_that_there_was_nothing_to_do(closed_month: ClosedMonth) -> None:
    posted = materialization(closed_month.again, "ledger_entries").metadata
    assert posted["outcome"].value == "nothing new: posted before"


def test_it_can_be_launched_alone(staged_url: str) -> None:
    assert materialized(staged_url, FIRST_PERIOD, ALONE).success
    assert batch_of(staged_url, FIRST_PERIOD).state == "COMMITTED"


def test_without_a_batch_it_says_what_comes_first(ledger_url: str) -> None:
    failure = failure_of(materialized(ledger_url, FIRST_PERIOD, ALONE), "ledger_entries")
    assert failure.description == "2024-01 has no batch: materialize staged_journal_entries first"


@pytest.mark.parametrize("name", ["a_line_is_worth_more", "cash_becomes_equity", "a_transaction_is_gone"])
def test_alone_it_refuses_what_the_gates_would_have_refused(staged_url: str, name: str) -> None:
    tamper(staged_url, name, LEAF)
    before = fingerprint(staged_url)
    failure = failure_of(materialized(staged_url, FIRST_PERIOD, ALONE), "ledger_entries")
    assert failure.description.startswith("batch 2024-01-MONTHEND fails record_count: ")
    assert failure.metadata["refused"].value == "GateFailed"
    assert fingerprint(staged_url) == before
