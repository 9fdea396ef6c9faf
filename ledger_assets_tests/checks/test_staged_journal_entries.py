"""What the gates report, and that the commit waits for them."""

from pathlib import Path

import pytest
from dagster import AssetSelection

from ledger_assets.accounting.gates import GATES
from ledger_assets_tests.checks.evaluations import evaluated, failed, materializations, shown
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import (
    batch_of,
    deliver,
    fingerprint,
    materialized,
    post,
    rows_of,
    run_month_close,
    store_rules,
)
from ledger_assets_tests.tampering import LEAF, tamper

pytestmark = pytest.mark.usefixtures("ledger_home")
CHECKS = AssetSelection.checks_for_assets("staged_journal_entries")


def test_gates_that_pass_let_the_batch_pass(staged_url: str) -> None:
    checks = evaluated(materialized(staged_url, JANUARY, CHECKS))
    assert checks.keys() == GATES.keys()
    assert all(check.passed for check in checks.values())
    assert checks["record_count"].metadata["subject"].value == "2024-01-MONTHEND, attempt 1"
    assert batch_of(staged_url, JANUARY).state == "VALIDATED"


def test_a_gate_that_fails_shows_expected_actual_and_rows(staged_url: str) -> None:
    tamper(staged_url, "a_line_is_worth_more", LEAF)
    run = materialized(staged_url, JANUARY, CHECKS)
    assert not run.success
    assert failed(run) == {"record_count", "debit_credit_balance", "fund_reconciliation"}
    balance = evaluated(run)["debit_credit_balance"]
    (totals,) = rows_of(
        staged_url, "SELECT sum(debit_amount) AS debit, sum(credit_amount) AS credit FROM staging.je_line_staging"
    )
    assert {name: balance.metadata[name].value for name in ("expected", "actual", "difference")} == {
        "expected": f"{totals['debit']:,}",
        "actual": f"{totals['credit']:,}",
        "difference": "+0.01",
    }
    assert [(row["measure"], row["passed"]) for row in shown(balance, "comparisons")][:4] == [
        ("worker 1 entries out of balance", "no"),
        ("worker 1 entries out of balance within a fund", "no"),
        ("TABARRU debits = credits", "no"),
        ("worker 1 entries that differ from their header", "yes"),
    ]
    (row,) = shown(balance, "first_offending_rows")
    assert (row["je_number"], row["fund"], row["difference"]) == ("1", "TABARRU", "-0.01")


def test_what_the_gates_say_is_kept(staged_url: str) -> None:
    tamper(staged_url, "a_header_says_another_total", LEAF)
    materialized(staged_url, JANUARY, CHECKS)
    verdicts = rows_of(
        staged_url,
        "SELECT gate, attempt, passed, offending FROM control.batch_validation_result ORDER BY validation_id",
    )
    assert [(row["gate"], row["attempt"], row["passed"]) for row in verdicts] == [
        ("record_count", 1, False),
        ("sequence_integrity", 1, True),
        ("debit_credit_balance", 1, False),
        ("fund_reconciliation", 1, True),
        ("source_unchanged", 1, True),
    ]
    assert verdicts[2]["offending"][0]["fund"] == "header against lines"
    reason = batch_of(staged_url, JANUARY).failure_reason
    assert reason is not None
    assert reason.startswith("record_count: counts differ: worker 1 changes by hand: expected 0, found 1; debit_credit")


def test_the_commit_does_not_begin_when_a_gate_fails(ledger_url: str, tmp_path: Path) -> None:
    store_rules(ledger_url)
    deliver(ledger_url, JANUARY, folder=tmp_path, defects=["unknown_product"])
    before = fingerprint(ledger_url)
    run = run_month_close(ledger_url, JANUARY)
    assert failed(run) == {"record_count", "fund_reconciliation"}
    assert materializations(run) == ["journal_templates", "staged_journal_entries", "txn_source"]
    assert not [event for event in run.all_events if event.is_step_start and event.step_key == "ledger_entries"]
    assert shown(evaluated(run)["record_count"], "first_offending_rows")[0]["problem"] == "NO_TEMPLATE"
    assert fingerprint(ledger_url) == before


def test_when_everything_is_posted_the_gates_have_nothing_to_refuse(staged_url: str) -> None:
    post(staged_url, batch_of(staged_url, JANUARY))
    for period in (JANUARY, "2024-02"):
        checks = evaluated(materialized(staged_url, period, CHECKS))
        assert checks.keys() == GATES.keys()
        assert all(check.passed and check.description.startswith("nothing is staged") for check in checks.values())
