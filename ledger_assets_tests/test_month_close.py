"""A month closes when it should, and the ledger stays byte for byte as it was when it should not."""

import csv
import os
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from dagster import AssetSelection

from ledger_assets.accounting.defects import DEFECTS
from ledger_assets.accounting.gates import GATES
from ledger_assets.accounting.mapping import load_mapping
from ledger_assets.accounting.rule_files import load_rule_set
from ledger_assets.accounting.source_errors import SourceFileError
from ledger_assets.accounting.templates import RuleSet, Template
from ledger_assets.close_result import CloseResult, Outcome
from ledger_assets.rehearsal import rehearse
from ledger_assets.settings import Settings
from ledger_assets.storage import batches, rules, staging
from ledger_assets.storage.batches import BatchStateError, GateFailed, PreflightFailed
from ledger_assets.storage.database import connect
from ledger_assets.storage.source_loads import acknowledge_rejections, withdraw
from ledger_assets.storage.validation import validate
from ledger_assets_tests.scenario import (
    ACTOR,
    FIRST_PERIOD,
    ROWS,
    Close,
    batch_of,
    close,
    close_directly,
    deliver,
    execute,
    failing_balance_controls,
    failing_gates,
    fingerprint,
    generated,
    load,
    materialized,
    opened,
    post,
    rows_of,
    staged,
    staged_tables,
    store_rules,
    trial_balance,
    value_of,
)

JANUARY, FEBRUARY, MARCH = FIRST_PERIOD, "2024-02", "2024-03"

COMBINED = load_rule_set("combined")

POSTED, NOTHING_NEW = Close(Outcome.POSTED), Close(Outcome.NOTHING_NEW)

WAYS_TO_CLOSE = pytest.mark.parametrize("close_month", [close, close_directly])
"""As Dagster does it, and by the same steps without it: they have to say the same."""

pytestmark = pytest.mark.usefixtures("ledger_home")


@pytest.fixture
def books(ledger_url: str) -> str:
    """The URL of books that have their rules and nothing else."""
    store_rules(ledger_url)
    return ledger_url


# ------------------------------------------------------------------------------------------------ months that close


@WAYS_TO_CLOSE
def test_a_clean_month_closes_once(books: str, tmp_path: Path, close_month: Callable[..., Close]) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    assert close_month(books, JANUARY) == POSTED
    assert batch_of(books, JANUARY).state == "COMMITTED"
    assert value_of(books, "SELECT status FROM control.period") == "CLOSED"
    numbers = rows_of(books, "SELECT count(*), min(je_number), max(je_number) FROM ledger.ledger_entry_header")
    assert numbers == [{"count": ROWS, "min": 1, "max": ROWS}]
    assert staged_tables(books) == []
    delivered = rows_of(books, "SELECT txn_type, row_count FROM source.load_total ORDER BY txn_type")
    counts = "SELECT source_type, expected_count, actual_count FROM control.batch_source_count ORDER BY source_type"
    assert [list(row.values()) for row in rows_of(books, counts)] == [
        [row["txn_type"], row["row_count"], row["row_count"]] for row in delivered
    ]
    before = fingerprint(books)
    assert close_month(books, JANUARY) == NOTHING_NEW
    assert fingerprint(books) == before


@WAYS_TO_CLOSE
def test_a_month_without_transactions_rolls_the_balances_on(
    books: str, tmp_path: Path, close_month: Callable[..., Close]
) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    assert close_directly(books, JANUARY) == POSTED
    assert close_month(books, FEBRUARY) == POSTED
    january, february = trial_balance(books, JANUARY), trial_balance(books, FEBRUARY)
    assert february == {code: (closing, 0, 0, closing) for code, (_, _, _, closing) in january.items()}
    assert (batch_of(books, FEBRUARY).entry_count, batch_of(books, FEBRUARY).last_je_number) == (0, None)
    assert close_month(books, FEBRUARY) == NOTHING_NEW


def test_books_begin_with_an_empty_month(books: str) -> None:
    assert close_directly(books, JANUARY) == POSTED
    assert trial_balance(books, JANUARY) == {}


@WAYS_TO_CLOSE
def test_a_late_load_becomes_the_next_batch_of_its_month(
    books: str, tmp_path: Path, close_month: Callable[..., Close]
) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    close_directly(books, JANUARY)
    before = rows_of(books, "SELECT * FROM ledger.ledger_entry_line ORDER BY je_number, line_number")
    deliver(books, JANUARY, folder=tmp_path, seed=2, rows=20)
    assert close_month(books, JANUARY) == POSTED
    late = batch_of(books, JANUARY)
    assert (late.batch_id, late.first_je_number, late.last_je_number) == ("2024-01-MONTHEND-02", ROWS + 1, ROWS + 20)
    lines = "SELECT * FROM ledger.ledger_entry_line WHERE batch_id = '2024-01-MONTHEND' ORDER BY je_number, line_number"
    assert rows_of(books, lines) == before
    numbers = [
        row["je_number"] for row in rows_of(books, "SELECT je_number FROM ledger.ledger_entry_header ORDER BY 1")
    ]
    assert numbers == list(range(1, ROWS + 21))
    ranges = rows_of(books, "SELECT first_je_number, last_je_number FROM control.sequence_reservation_log ORDER BY 1")
    assert [tuple(row.values()) for row in ranges] == [(1, ROWS), (ROWS + 1, ROWS + 20)]
    assert value_of(books, "SELECT status FROM control.period") == "CLOSED"


def test_a_new_posting_opens_the_month_until_its_balances_are_taken_again(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    assert close_directly(books, JANUARY) == POSTED
    deliver(books, JANUARY, folder=tmp_path, seed=2)
    post(books, staged(books, JANUARY))
    assert value_of(books, "SELECT status FROM control.period") == "CLOSING"
    assert failing_balance_controls(books, JANUARY) == {"snapshot_equals_lines", "fund_balances_agree"}
    assert close_directly(books, FEBRUARY).outcome == Outcome.PREFLIGHT_FAILED
    assert close_directly(books, JANUARY) == NOTHING_NEW
    assert value_of(books, "SELECT status FROM control.period WHERE period = '2024-01'") == "CLOSED"


def test_two_loads_of_a_month_are_one_batch(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path, rows=30)
    deliver(books, JANUARY, folder=tmp_path, rows=30, seed=2)
    assert close_directly(books, JANUARY) == POSTED
    assert rows_of(books, "SELECT load_id, batch_id FROM control.load_batch ORDER BY load_id") == [
        {"load_id": 1, "batch_id": "2024-01-MONTHEND"},
        {"load_id": 2, "batch_id": "2024-01-MONTHEND"},
    ]


def test_a_batch_can_be_posted_without_the_gates_having_run(staged_url: str) -> None:
    assert post(staged_url, batch_of(staged_url, JANUARY))
    assert value_of(staged_url, "SELECT count(*) FROM control.batch_validation_result") == 0
    assert value_of(staged_url, "SELECT count(*) FROM control.worker_measure") == 3
    assert value_of(staged_url, "SELECT count(*) FROM ledger.ledger_entry_header") == ROWS
    assert close_directly(staged_url, JANUARY) == NOTHING_NEW


def test_a_posted_batch_is_not_posted_again(staged_url: str) -> None:
    batch = batch_of(staged_url, JANUARY)
    assert post(staged_url, batch)
    before = fingerprint(staged_url)
    assert not post(staged_url, batch)
    assert fingerprint(staged_url) == before


def test_staging_again_replaces_what_was_staged(staged_url: str, tmp_path: Path) -> None:
    before, tables = fingerprint(staged_url), staged_tables(staged_url)
    deliver(staged_url, JANUARY, folder=tmp_path, seed=2, rows=20)
    batch = staged(staged_url, JANUARY)
    assert (batch.batch_id, batch.attempt) == ("2024-01-MONTHEND", 2)
    assert set(staged_tables(staged_url)).isdisjoint(tables)
    assert value_of(staged_url, "SELECT count(*) FROM staging.je_header_staging") == ROWS + 20
    assert fingerprint(staged_url) == before
    assert failing_gates(staged_url, batch) == {}


def test_an_old_attempt_cannot_be_failed_or_finished_any_more(staged_url: str) -> None:
    old = batch_of(staged_url, JANUARY)
    new = staged(staged_url, JANUARY)
    with connect(staged_url) as connection:
        batches.fail(connection, old, performed_by=ACTOR, reason="too late")
    assert batch_of(staged_url, JANUARY).state == "VALIDATING"
    assert failing_gates(staged_url, new) == {}


def test_the_hundredth_batch_of_a_month_has_a_number(books: str) -> None:
    execute(
        books,
        """
        DO $$
        DECLARE
            the_batch text;
        BEGIN
            FOR _ IN 1 .. 101 LOOP
                the_batch := control.open_batch('2024-01', 'DRYRUN', 'combined', 1, 10, '2024-01', 'tester', NULL);
                PERFORM control.set_batch_state(the_batch, 'ABORTED', 'tester');
            END LOOP;
        END $$
        """,
    )
    ids = [row["batch_id"] for row in rows_of(books, "SELECT batch_id FROM control.batch ORDER BY initiated_at")]
    assert ids[:2] == ["2024-01-DRYRUN", "2024-01-DRYRUN-02"]
    assert ids[98:] == ["2024-01-DRYRUN-99", "2024-01-DRYRUN-100", "2024-01-DRYRUN-101"]


# ------------------------------------------------------------------------------------------------ months that must wait


@WAYS_TO_CLOSE
def test_a_month_waits_for_the_one_before(books: str, tmp_path: Path, close_month: Callable[..., Close]) -> None:
    deliver(books, FEBRUARY, folder=tmp_path)
    before = fingerprint(books)
    refused = close_month(books, FEBRUARY)
    assert (refused.outcome, refused.refused_by) == (Outcome.PREFLIGHT_FAILED, frozenset())
    assert "2024-02 waits for 2024-01, which is not closed" in refused.problem
    assert fingerprint(books) == before
    assert rows_of(books, "SELECT * FROM control.period") == rows_of(books, "SELECT * FROM control.batch") == []
    assert staged_tables(books) == []


def test_a_month_that_is_posted_but_not_closed_holds_up_the_next_one(staged_url: str) -> None:
    post(staged_url, batch_of(staged_url, JANUARY))
    assert close_directly(staged_url, FEBRUARY).outcome == Outcome.PREFLIGHT_FAILED


@WAYS_TO_CLOSE
def test_a_month_takes_nothing_more_when_a_later_one_is_closed(
    books: str, tmp_path: Path, close_month: Callable[..., Close]
) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    assert [close_directly(books, period) for period in (JANUARY, FEBRUARY)] == [POSTED, POSTED]
    deliver(books, JANUARY, folder=tmp_path, seed=2)
    before = fingerprint(books)
    refused = close_month(books, JANUARY)
    assert refused.outcome == Outcome.PREFLIGHT_FAILED
    assert "2024-02 is closed on its balances" in refused.problem
    assert fingerprint(books) == before


def test_a_later_month_that_closes_between_staging_and_posting_refuses_the_batch(books: str, tmp_path: Path) -> None:
    close_directly(books, JANUARY)
    deliver(books, JANUARY, folder=tmp_path)
    late = staged(books, JANUARY)
    close_directly(books, FEBRUARY)
    before = fingerprint(books)
    with pytest.raises(PreflightFailed, match="closed on its balances"):
        post(books, late)
    assert fingerprint(books) == before


@pytest.mark.parametrize("period", ["2023-12", "1993-01"])
def test_a_month_before_the_first_one_is_refused(books: str, tmp_path: Path, period: str) -> None:
    deliver(books, period, folder=tmp_path)
    refused = close_directly(books, period)
    assert refused.outcome == Outcome.PREFLIGHT_FAILED
    assert "lies before the first period of these books, 2024-01" in refused.problem


@WAYS_TO_CLOSE
def test_rules_that_were_edited_after_their_approval_post_nothing(
    books: str, tmp_path: Path, close_month: Callable[..., Close]
) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    before = fingerprint(books)
    execute(books, "UPDATE acct.journal_template_line SET amount_expression = ':gross_amount' WHERE line_number = 8")
    assert close_month(books, JANUARY).outcome == Outcome.PREFLIGHT_FAILED
    assert fingerprint(books) == before
    assert staged_tables(books) == []


# ------------------------------------------------------------------------------------------------ faulty deliveries

STOPPED_BY = {"rejection": "rejected_rows_resolved", "exception_queue": "record_count"}
UNREADABLE = sorted(name for name, defect in DEFECTS.items() if defect.control == "reader")
REFUSED = sorted(name for name, defect in DEFECTS.items() if defect.control in STOPPED_BY)


@pytest.mark.parametrize("defect", UNREADABLE)
def test_an_unreadable_file_leaves_nothing(ledger_url: str, tmp_path: Path, defect: str) -> None:
    before = fingerprint(ledger_url)
    path = generated(tmp_path, JANUARY, defects=[defect])
    with pytest.raises(SourceFileError) as refusal:
        load(ledger_url, path, JANUARY)
    assert DEFECTS[defect].reason in str(refusal.value)
    assert fingerprint(ledger_url) == before
    assert value_of(ledger_url, "SELECT count(*) FROM source.load") == 0


@pytest.mark.parametrize("defect", REFUSED)
def test_a_faulty_row_stops_the_month(books: str, tmp_path: Path, defect: str) -> None:
    result = deliver(books, JANUARY, folder=tmp_path, defects=[defect])
    before = fingerprint(books)
    refused = close_directly(books, JANUARY)
    assert refused.outcome == Outcome.GATE_FAILED
    assert STOPPED_BY[DEFECTS[defect].control] in refused.refused_by
    assert set(result.reasons) == ({DEFECTS[defect].reason} if DEFECTS[defect].reason else set())
    assert fingerprint(books) == before


@pytest.mark.parametrize("defect", ["unbalanced_split", "unknown_product"])
def test_dagster_stops_at_the_same_control(books: str, tmp_path: Path, defect: str) -> None:
    deliver(books, JANUARY, folder=tmp_path, defects=[defect])
    before = fingerprint(books)
    refused = close(books, JANUARY)
    assert refused == Close(Outcome.GATE_FAILED, close_directly(books, JANUARY).refused_by, refused.problem)
    assert all(control in refused.problem for control in refused.refused_by)
    assert fingerprint(books) == before


def test_refused_rows_stop_a_client_that_looks_at_no_check(books: str, staged_url: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path, defects=["zero_amount"])
    with pytest.raises(PreflightFailed, match="1 refused source rows are open"):
        opened(books, JANUARY)
    assert staged_tables(books) == []
    before = fingerprint(staged_url)
    deliver(staged_url, JANUARY, folder=tmp_path, seed=2, defects=["zero_amount"])
    with pytest.raises(PreflightFailed, match="1 refused source rows are open"):
        post(staged_url, batch_of(staged_url, JANUARY))
    assert fingerprint(staged_url) == before


def test_refused_rows_that_were_dealt_with_stop_nothing(books: str, tmp_path: Path) -> None:
    result = deliver(books, JANUARY, folder=tmp_path, defects=["zero_amount"])
    with connect(books) as connection:
        acknowledge_rejections(connection, JANUARY, reason="tests of the till", by="finance")
    assert close_directly(books, JANUARY) == POSTED
    assert value_of(books, "SELECT count(*) FROM ledger.ledger_entry_header") == result.accepted_count == ROWS - 1


def test_a_corrected_delivery_closes_the_month(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path, defects=["negative_amount"])
    assert close_directly(books, JANUARY).refused_by == {"rejected_rows_resolved"}
    deliver(books, JANUARY, folder=tmp_path)
    assert close_directly(books, JANUARY) == POSTED
    assert value_of(books, "SELECT count(DISTINCT source_id) FROM ledger.ledger_entry_header") == ROWS


# ------------------------------------------------------------------------------------------------ exceptions


def open_exceptions(ledger_url: str) -> list[tuple[str, str]]:
    queued = rows_of(ledger_url, "SELECT txn_id, reason FROM control.exception_queue WHERE status = 'OPEN'")
    return [(row["txn_id"], row["reason"]) for row in queued]


def test_exceptions_are_queued_and_retried_when_their_load_is_withdrawn(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    bad = deliver(books, JANUARY, folder=tmp_path, seed=2, defects=["unknown_product"])
    refused = close_directly(books, JANUARY)
    assert refused.refused_by == {"record_count", "fund_reconciliation"}
    assert open_exceptions(books) == [("TXN-202401-2-000000002", "NO_TEMPLATE")]
    with connect(books) as connection:
        withdraw(connection, bad.load_id, reason="wrong product", by="operations")
    assert close_directly(books, JANUARY) == POSTED
    assert open_exceptions(books) == []
    assert rows_of(books, "SELECT txn_id, status, attempt FROM control.exception_queue") == [
        {"txn_id": "TXN-202401-2-000000002", "status": "RETRIED", "attempt": 1}
    ]
    assert batch_of(books, JANUARY).attempt == 2
    assert value_of(books, "SELECT count(*) FROM ledger.ledger_entry_header") == ROWS


def test_exceptions_are_posted_when_the_rules_are_mended(books: str, tmp_path: Path) -> None:
    approve(books, replace(COMBINED, version=2, templates=tuple(map(without_family, COMBINED.templates))))
    deliver(books, JANUARY, folder=tmp_path)
    before = fingerprint(books)
    assert close_directly(books, JANUARY).refused_by == {"record_count", "fund_reconciliation"}
    source = rows_of(books, "SELECT txn_id FROM source.txn_source WHERE product_code = 'FAMILY-001'")
    assert sorted(open_exceptions(books)) == sorted((row["txn_id"], "NO_TEMPLATE") for row in source) != []
    assert fingerprint(books) == before
    approve(books, replace(COMBINED, version=3))
    assert close_directly(books, JANUARY) == POSTED
    assert open_exceptions(books) == []
    assert value_of(books, "SELECT count(*) FROM ledger.ledger_entry_header") == ROWS
    assert batch_of(books, JANUARY).rule_version == 3


def without_family(template: Template) -> Template:
    """The template does not cover family takaful any more."""
    return replace(template, matches=tuple(one for one in template.matches if one.product_code != "FAMILY-001"))


def approve(ledger_url: str, rule_set: RuleSet) -> None:
    """Store rules and approve them as they are."""
    with connect(ledger_url) as connection:
        rules.store(connection, rule_set)
        content = rule_set.content_hash()
        rules.approve(connection, rule_set.name, rule_set.version, approved_by="controller", content_hash=content)


def test_an_exception_that_was_hidden_stops_the_month_all_the_same(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path, defects=["unknown_product"])
    batch = staged(books, JANUARY)
    before = fingerprint(books)
    execute(books, "UPDATE control.exception_queue SET status = 'RETRIED'")
    with pytest.raises(GateFailed, match=r"record_count: .* transactions in the source, .* journaled"):
        post(books, batch)
    assert set(failing_gates(books, batch)) == {"record_count", "fund_reconciliation"}
    assert fingerprint(books) == before


def test_a_late_batch_whose_load_was_withdrawn_is_given_up(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    assert close_directly(books, JANUARY) == POSTED
    late = deliver(books, JANUARY, folder=tmp_path, seed=2, defects=["unknown_product"])
    assert close_directly(books, JANUARY).outcome == Outcome.GATE_FAILED
    before = fingerprint(books)
    with connect(books) as connection:
        withdraw(connection, late.load_id, reason="wrong product", by="operations")
    assert close(books, JANUARY) == NOTHING_NEW
    assert staged_tables(books) == []
    assert value_of(books, "SELECT state FROM control.batch WHERE batch_id = '2024-01-MONTHEND-02'") == "ABORTED"
    # Closed without Dagster until now, the month has had no certificate.
    assert {**fingerprint(books), "close_certificate": before["close_certificate"]} == before
    deliver(books, JANUARY, folder=tmp_path, seed=3)
    assert close_directly(books, JANUARY) == POSTED
    assert batch_of(books, JANUARY).batch_id == "2024-01-MONTHEND-03"


# ------------------------------------------------------------------------------------------------ batches out of turn


def test_a_batch_that_was_not_staged_to_its_end_passes_no_gate(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    before = fingerprint(books)
    batch, stored = opened(books, JANUARY)
    assert batch is not None
    shards = partial(staging._journaled, books, batch, stored.compiled())
    staging._Staging(books, batch, shards, lambda _: None).write(None)  # … and then the connection is lost
    with connect(books) as connection:
        batches.fail(connection, batch, performed_by=ACTOR, reason="connection lost")
    with pytest.raises(BatchStateError, match="it was not staged to its end"):
        validate(books, batch, performed_by=ACTOR)
    with connect(books) as connection, pytest.raises(BatchStateError, match="was not staged to its end"):
        batches.pass_gates(connection, batch, performed_by=ACTOR)
    with pytest.raises(BatchStateError, match="cannot be posted from state FAILED"):
        post(books, batch)
    assert fingerprint(books) == before
    assert close_directly(books, JANUARY) == POSTED


def test_a_dry_run_is_never_posted(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    batch = staged(books, JANUARY, kind="DRYRUN")
    assert failing_gates(books, batch) == {}
    before = fingerprint(books)
    with pytest.raises(BatchStateError, match="cannot be posted from state VALIDATED"):
        post(books, batch)
    assert fingerprint(books) == before


def test_a_batch_that_another_one_overtook_has_the_wrong_numbers(staged_url: str) -> None:
    before = fingerprint(staged_url)
    execute(staged_url, "UPDATE control.period SET next_je_number = 61")  # as posting another batch would
    with pytest.raises(GateFailed, match="starts at number 1, the next free number of the period is 61"):
        post(staged_url, batch_of(staged_url, JANUARY))
    execute(staged_url, "UPDATE control.period SET next_je_number = 1")
    assert fingerprint(staged_url) == before


def test_there_is_no_posting_of_what_does_not_exist(books: str) -> None:
    with connect(books) as connection, pytest.raises(BatchStateError, match="there is no batch 2024-01-MONTHEND"):
        batches.post_batch(connection, "2024-01-MONTHEND", first_period=FIRST_PERIOD, performed_by=ACTOR)
    with connect(books) as connection, pytest.raises(BatchStateError, match="2024-01 has no posted batch"):
        batches.take_snapshot(connection, JANUARY, first_period=FIRST_PERIOD, performed_by=ACTOR)
    assert rows_of(books, "SELECT * FROM control.period") == []


def test_a_failed_gate_holds_when_only_the_commit_is_materialized(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path, defects=["unknown_product"])
    before = fingerprint(books)
    assert close(books, JANUARY).outcome == Outcome.GATE_FAILED
    run = materialized(books, JANUARY, AssetSelection.assets("ledger_entries").without_checks())
    assert not run.success
    (failure,) = (event for event in run.all_events if event.is_step_failure)
    assert "cannot be posted from state FAILED" in failure.step_failure_data.user_failure_data.description
    assert fingerprint(books) == before


def test_the_commit_alone_verifies_what_no_gate_has_seen(staged_url: str) -> None:
    execute(staged_url, "UPDATE acct.chart_of_accounts SET is_open = false WHERE account_code = '4110-20'")
    before = fingerprint(staged_url)
    run = materialized(staged_url, JANUARY, AssetSelection.assets("ledger_entries").without_checks())
    (failure,) = (event for event in run.all_events if event.is_step_failure)
    assert (
        "fails fund_reconciliation: account_id 11 is closed" in failure.step_failure_data.user_failure_data.description
    )
    assert fingerprint(staged_url) == before


def test_fund_balances_follow_a_late_batch_of_the_month_before(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    deliver(books, FEBRUARY, folder=tmp_path)
    assert close_directly(books, JANUARY) == POSTED
    post(books, staged(books, FEBRUARY))  # and before its balances are taken, January has a late load
    deliver(books, JANUARY, folder=tmp_path, seed=2)
    assert close_directly(books, JANUARY) == POSTED
    assert close_directly(books, FEBRUARY) == NOTHING_NEW
    assert failing_balance_controls(books, FEBRUARY) == frozenset()


# ------------------------------------------------------------------------------------------------ how it is told


@pytest.mark.parametrize(
    ("outcome", "exit_code"),
    [
        ("posted", 0),
        ("nothing_new", 0),
        ("rehearsed", 0),
        ("gate_failed", 2),
        ("not_certified", 2),
        ("preflight_failed", 3),
        ("failed", 1),
    ],
)
def test_the_exit_code_says_what_kind_of_end_it_was(outcome: str, exit_code: int) -> None:
    assert Outcome(outcome).exit_code == exit_code
    assert len(Outcome) == 7


def test_rules_that_are_unsound_fail_the_preflight(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    approve(books, replace(COMBINED, version=2, templates=tuple(map(without_family, COMBINED.templates))))
    before = fingerprint(books)
    refused = close(books, JANUARY)
    assert (refused.outcome, refused.refused_by) == (Outcome.PREFLIGHT_FAILED, {"every_product_covered_once"})
    assert staged_tables(books) == []
    assert fingerprint(books) == before


def test_a_file_that_cannot_be_read_is_a_failure_of_its_own_kind(books: str, ledger_home: Path) -> None:
    (ledger_home / "inbox" / JANUARY).mkdir(parents=True)
    path = generated(ledger_home / "inbox" / JANUARY, JANUARY, defects=["truncated"])
    before = fingerprint(books)
    refused = close(books, JANUARY)
    assert (refused.outcome, refused.refused_by) == (Outcome.FAILED, frozenset())
    assert refused.problem.startswith("txn_source: ")
    assert path.name in refused.problem
    assert fingerprint(books) == before


# ------------------------------------------------------------------------------------------------ dry runs


def rehearsed(ledger_url: str, period: str = JANUARY) -> CloseResult:
    """A dry run, as the command line does it."""
    settings = Settings(database_url=ledger_url, first_period=FIRST_PERIOD)
    return rehearse(settings, period, performed_by=ACTOR)


def test_a_dry_run_leaves_nothing_behind(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    before = fingerprint(books)
    result = rehearsed(books)
    assert (result.outcome, result.exit_code, result.entries) == (Outcome.REHEARSED, 0, ROWS)
    assert [gate["gate"] for gate in result.gates if gate["passed"]] == list(GATES)
    assert fingerprint(books) == before
    assert staged_tables(books) == []
    assert value_of(books, "SELECT batch_id || ' ' || state FROM control.batch") == "2024-01-DRYRUN ABORTED"
    assert close_directly(books, JANUARY) == POSTED
    assert batch_of(books, JANUARY).first_je_number == 1


def test_a_dry_run_leaves_a_staged_batch_alone(staged_url: str) -> None:
    before, tables = fingerprint(staged_url), staged_tables(staged_url)
    assert rehearsed(staged_url).outcome == Outcome.REHEARSED
    assert (fingerprint(staged_url), staged_tables(staged_url)) == (before, tables)
    assert post(staged_url, batch_of(staged_url, JANUARY))


def test_a_dry_run_shows_what_would_stop_the_close(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path, defects=["unknown_product"])
    before = fingerprint(books)
    result = rehearsed(books)
    assert (result.outcome, result.exit_code) == (Outcome.GATE_FAILED, 2)
    (count,) = (gate for gate in result.gates if gate["gate"] == "record_count")
    assert count["offending"][0] | {"detail": ""} == {
        "load_id": "1",
        "row_number": "2",
        "txn_id": "TXN-202401-1-000000002",
        "problem": "NO_TEMPLATE",
        "detail": "",
    }
    assert (fingerprint(books), staged_tables(books)) == (before, [])


@pytest.mark.parametrize(("period", "defects"), [(FEBRUARY, []), (JANUARY, ["zero_amount"])])
def test_a_dry_run_refuses_what_the_close_refuses(books: str, tmp_path: Path, period: str, defects: list[str]) -> None:
    deliver(books, period, folder=tmp_path, defects=defects)
    result = rehearsed(books, period)
    assert (result.outcome, result.exit_code) == (Outcome.PREFLIGHT_FAILED, 3)
    assert rows_of(books, "SELECT * FROM control.batch") == []


# ------------------------------------------------------------------------------------------------ real data

PROJECT = Path(__file__).resolve().parents[1]
LGPIF = Path(os.environ.get("LEDGER_DATA_DIR", PROJECT.parent / "shared" / "data")) / "lgpif"


@pytest.mark.skipif(not LGPIF.is_dir(), reason=f"no data in {LGPIF}")
def test_a_year_of_real_policies_and_claims_closes_to_the_cent(books: str) -> None:
    first, months = "2006-01", [f"2006-{month:02}" for month in range(1, 13)]
    for period in months:
        for name in ("policies", "claims") if period == first else ("claims",):  # the policies are all of 1 January
            mapping = load_mapping(PROJECT / "examples" / "lgpif" / f"{name}.toml")
            load(books, LGPIF / f"{name}.csv", period, mapping=mapping, currency=None)
        assert close_directly(books, period, first_period=first, rows_per_worker=1000) == POSTED
    premiums, claims = _sum_of_2006("policies", "Premium"), _sum_of_2006("claims", "Claim")
    cash = [trial_balance(books, period)["1100-10"] for period in months]
    assert sum(debit for _, debit, _, _ in cash) == premiums
    assert sum(credit for _, _, credit, _ in cash) == claims
    assert cash[-1][3] == premiums - claims
    income = ("4110-20", "4110-30", "4210-10")
    assert -sum(trial_balance(books, months[-1])[code][3] for code in income) == premiums


def _sum_of_2006(name: str, column: str) -> Decimal:
    with (LGPIF / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return sum((Decimal(row[column]) for row in csv.DictReader(file) if row["Year"] == "2006"), Decimal(0))
