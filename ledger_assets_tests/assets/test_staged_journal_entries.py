"""What the staging asset shows, and how it tells a refusal from a fault."""

import os
import signal
import time
from pathlib import Path

import pytest
from dagster import AssetSelection

from ledger_assets import closing
from ledger_assets.storage import staging
from ledger_assets_tests.assets.conftest import ClosedMonth
from ledger_assets_tests.checks.evaluations import failure_of, materialization, shown
from ledger_assets_tests.scenario import (
    FIRST_PERIOD,
    ROWS,
    SECOND_PERIOD,
    batch_of,
    deliver,
    execute,
    materialized,
    staged_tables,
    store_rules,
)

ALONE = AssetSelection.assets("staged_journal_entries").without_checks()


def test_batch_rules_and_counts_are_shown(closed_month: ClosedMonth) -> None:
    staged = materialization(closed_month.first, "staged_journal_entries").metadata
    names = ("batch", "rules", "rules_approved_by", "transactions", "entries", "lines", "exceptions")
    assert {name: staged[name].value for name in names} == {
        "batch": "2024-01-MONTHEND, attempt 2",  # the first one was staged by hand
        "rules": "rule set combined v1",
        "rules_approved_by": "financial-controller",
        "transactions": ROWS,
        "entries": ROWS,
        "lines": 8 * ROWS,
        "exceptions": 0,
    }
    assert staged["exceptions_by_reason"].value == "none"


def test_workers_and_a_sample_are_shown(closed_month: ClosedMonth) -> None:
    staged = materialization(closed_month.first, "staged_journal_entries")
    workers = shown(staged, "workers")
    assert [(one["worker"], one["status"], one["first_number"], one["last_number"]) for one in workers] == [
        ("1", "COMPLETED", "1", "25"), ("2", "COMPLETED", "26", "50"), ("3", "COMPLETED", "51", "60"),
    ]  # fmt: skip
    assert staged.metadata["resumed"].value == "resumed: 3 of 3 workers were complete"  # staged by hand
    sample = shown(staged, "sample_of_entries")
    assert {row["je_number"] for row in sample} == {"1", "2", "3"}
    assert [row["line_number"] for row in sample][:8] == list("12345678")


def test_nothing_new_is_said_to_be_nothing_new(closed_month: ClosedMonth) -> None:
    staged = materialization(closed_month.again, "staged_journal_entries").metadata
    assert staged["outcome"].value == "nothing new: everything that arrived is posted"


def test_exceptions_are_shown_by_reason(ledger_url: str, tmp_path: Path) -> None:
    store_rules(ledger_url)
    deliver(ledger_url, FIRST_PERIOD, folder=tmp_path, defects=["unknown_product"])
    staged = materialization(materialized(ledger_url, FIRST_PERIOD, ALONE), "staged_journal_entries")
    assert staged.metadata["exceptions"].value == 1
    (reason,) = shown(staged, "exceptions_by_reason")
    assert (reason["reason"], reason["transactions"], reason["first_transaction"]) == (
        "NO_TEMPLATE", "1", "TXN-202401-1-000000002",
    )  # fmt: skip


@pytest.mark.parametrize("is_edited", [False, True])
def test_a_refusal_before_anything_began_names_the_fix(ledger_url: str, is_edited: bool) -> None:
    store_rules(ledger_url)
    if is_edited:
        execute(ledger_url, "UPDATE acct.journal_template SET description = 'edited'")
    run = materialized(ledger_url, FIRST_PERIOD if is_edited else SECOND_PERIOD, ALONE)
    failure = failure_of(run, "staged_journal_entries")
    assert failure.metadata["preflight"].value == ("RuleError" if is_edited else "PreflightFailed")
    assert failure.metadata["fix"].value in failure.description
    assert staged_tables(ledger_url) == []


def test_a_fault_while_staging_leaves_a_failed_batch_with_its_reason(ledger_url: str, tmp_path: Path) -> None:
    store_rules(ledger_url)
    deliver(ledger_url, FIRST_PERIOD, folder=tmp_path)
    execute(ledger_url, "ALTER TABLE control.batch_checkpoint ADD CHECK (worker_number > 1)")  # the disk is full, say
    run = materialized(ledger_url, FIRST_PERIOD, ALONE)
    assert not run.success
    batch = batch_of(ledger_url, FIRST_PERIOD)
    assert batch.state == "FAILED"
    assert batch.failure_reason is not None
    assert batch.failure_reason.startswith("staging: WorkersFailed: 2024-01-MONTHEND: paused, 1 of 1 workers failed")
    assert "worker 1: CheckViolation: " in batch.failure_reason
    assert staged_tables(ledger_url) == []


def test_ctrl_c_is_told_as_what_it_is(ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_rules(ledger_url)
    deliver(ledger_url, FIRST_PERIOD, folder=tmp_path)

    def typed(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

    monkeypatch.setattr(staging, "_finish", typed)
    run = materialized(ledger_url, FIRST_PERIOD, ALONE)
    assert not run.success
    assert batch_of(ledger_url, FIRST_PERIOD).failure_reason == "staging: interrupted"
    assert closing._problems(run) == [f"staged_journal_entries: {closing.INTERRUPTED}"]
    assert closing._outcome(run).exit_code == 1
