"""The life of a month: what closes, locks and reopens it, what keeps it open, and where late transactions go."""

import json
import secrets
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from beancount import loader
from click.testing import CliRunner, Result
from dagster import AssetSelection

from ledger_assets.cli import main
from ledger_assets.close_result import Outcome
from ledger_assets.reporting import page as report_page
from ledger_assets.reporting import reading
from ledger_assets.storage import periods
from ledger_assets.storage.batches import (
    BatchStateError,
    BuiltUpon,
    NotConfirmed,
    PreflightFailed,
    end_dry_run,
    take_snapshot,
)
from ledger_assets.storage.corrections import abort_batch
from ledger_assets.storage.database import connect, create_database, with_database
from ledger_assets.storage.export import export
from ledger_assets.storage.source_loads import acknowledge_rejections, withdraw
from ledger_assets_tests.logins import batch_admin, superuser
from ledger_assets_tests.scenario import (
    ACTOR,
    FIRST_PERIOD,
    Close,
    batch_of,
    close,
    close_directly,
    deliver,
    execute,
    failing_gates,
    fingerprint,
    generated,
    load,
    materialized,
    opened,
    post,
    rows_of,
    staged,
    store_rules,
    trial_balance,
    value_of,
)

JANUARY, FEBRUARY, MARCH = FIRST_PERIOD, "2024-02", "2024-03"
POSTED, NOTHING_NEW = Close(Outcome.POSTED), Close(Outcome.NOTHING_NEW)
WAYS_TO_CLOSE = pytest.mark.parametrize("close_month", [close, close_directly])

pytestmark = pytest.mark.usefixtures("ledger_home")


@pytest.fixture
def books(ledger_url: str) -> str:
    """The URL of books that have their rules and nothing else."""
    store_rules(ledger_url)
    return ledger_url


def status_of(url: str, period: str) -> str:
    return str(value_of(url, "SELECT status FROM control.period WHERE period = %s", period))


def locked(url: str, period: str) -> list[str]:
    with connect(batch_admin(url)) as connection:
        return periods.lock(connection, period, performed_by="controller")


def reopened(url: str, period: str, *, reason: str = "an invoice was missing", chain: bool = False) -> list[str]:
    with connect(batch_admin(url)) as connection:
        return periods.reopen(connection, period, reason=reason, chain=chain, performed_by="controller")


def trail(url: str, period: str) -> list[tuple[str, str, str]]:
    """What happened to the month itself, as the audit trail has it."""
    operations = rows_of(
        url,
        "SELECT operation, state_before, state_after FROM audit.batch_operation "
        "WHERE period = %s AND operation LIKE '%%PERIOD' ORDER BY operation_id",
        period,
    )
    return [tuple(row.values()) for row in operations]  # type: ignore[misc]


def obstacles(url: str, period: str) -> list[str]:
    rows = rows_of(url, "SELECT kind FROM control.closing_obstacle WHERE period = %s ORDER BY kind", period)
    return [row["kind"] for row in rows]


def close_numbers(url: str, period: str) -> list[int]:
    with connect(url) as connection:
        return [row["close_number"] for row in periods.closes(connection, period)]


# ------------------------------------------------------------------------------------------------ the life cycle


def test_a_month_goes_from_open_to_locked_and_every_step_is_written_down(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    batch = staged(books, JANUARY, kind="DRYRUN")
    assert status_of(books, JANUARY) == "OPEN"
    with connect(books) as connection:
        end_dry_run(connection, batch, performed_by=ACTOR)
    staged(books, JANUARY)
    assert status_of(books, JANUARY) == "CLOSING"
    assert close_directly(books, JANUARY) == POSTED
    assert status_of(books, JANUARY) == "CLOSED"
    assert locked(books, JANUARY) == [JANUARY]
    assert status_of(books, JANUARY) == "LOCKED"
    assert reopened(books, JANUARY) == [JANUARY]
    assert status_of(books, JANUARY) == "OPEN"
    assert close_directly(books, JANUARY) == NOTHING_NEW
    assert trail(books, JANUARY) == [
        ("CLOSING_PERIOD", "OPEN", "CLOSING"),
        ("CLOSE_PERIOD", "CLOSING", "CLOSED"),
        ("LOCK_PERIOD", "CLOSED", "LOCKED"),
        ("REOPEN_PERIOD", "LOCKED", "OPEN"),
        ("CLOSING_PERIOD", "OPEN", "CLOSING"),
        ("RECLOSE_PERIOD", "CLOSING", "CLOSED"),
    ]


def test_a_month_whose_batch_failed_or_was_given_up_is_still_being_closed(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path, defects=["unknown_product"])
    assert close_directly(books, JANUARY).outcome == Outcome.GATE_FAILED
    assert status_of(books, JANUARY) == "CLOSING"
    batch = batch_of(books, JANUARY)
    with connect(batch_admin(books)) as connection:
        abort_batch(connection, batch.batch_id, reason="given up", performed_by=ACTOR)
    assert status_of(books, JANUARY) == "CLOSING"


def test_a_late_batch_is_a_second_close_and_says_so(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    assert close_directly(books, JANUARY) == POSTED
    late = deliver(books, JANUARY, folder=tmp_path, seed=2, rows=20)
    assert late.booked_in == FEBRUARY  # if that is closed first
    batch = staged(books, JANUARY)
    assert status_of(books, JANUARY) == "CLOSED"  # its balances are still those of the ledger
    assert post(books, batch)
    assert status_of(books, JANUARY) == "CLOSING"
    assert close_directly(books, JANUARY) == NOTHING_NEW
    assert trail(books, JANUARY)[-2:] == [
        ("CLOSING_PERIOD", "CLOSED", "CLOSING"),
        ("RECLOSE_PERIOD", "CLOSING", "CLOSED"),
    ]
    assert close_numbers(books, JANUARY) == [1, 2]
    with connect(books) as connection:
        changes = periods.differences(connection, JANUARY)
    entries = "SELECT sum(debit_amount) FROM ledger.ledger_entry_line WHERE batch_id = '2024-01-MONTHEND-02'"
    assert sum(row["debit_change"] for row in changes) == value_of(books, entries) > 0
    assert sum(row["closing_change"] for row in changes) == 0


@pytest.mark.parametrize(
    ("before", "after"), [("OPEN", "LOCKED"), ("CLOSING", "LOCKED"), ("LOCKED", "CLOSING"), ("LOCKED", "CLOSED")]
)
def test_a_month_skips_no_step(books: str, before: str, after: str) -> None:
    closed_at = "now()" if before == "LOCKED" else "NULL"
    execute(books, f"INSERT INTO control.period VALUES ('{JANUARY}', '{before}', 1, {closed_at})")
    with pytest.raises(psycopg.Error, match=f"cannot go from {before} to {after}"):
        execute(books, f"SELECT control.set_period_status('{JANUARY}', '{after}', 'TEST', 'tester')")


# ------------------------------------------------------------------------------------------------ locking


def test_locking_a_month_locks_those_before_it(closed_url: str) -> None:
    with pytest.raises(BatchStateError, match="only a closed month can be locked, it is OPEN"):
        locked(closed_url, MARCH)
    assert locked(closed_url, FEBRUARY) == [JANUARY, FEBRUARY]
    assert locked(closed_url, FEBRUARY) == locked(closed_url, JANUARY) == []
    assert trail(closed_url, JANUARY)[-1] == ("LOCK_PERIOD", "CLOSED", "LOCKED")


def test_a_month_that_is_being_closed_cannot_be_locked(staged_url: str) -> None:
    before = fingerprint(staged_url)
    with pytest.raises(BatchStateError, match="it is CLOSING"):
        locked(staged_url, JANUARY)
    assert fingerprint(staged_url) == before


def certificates(url: str) -> set[tuple[str, str]]:
    """What of a fingerprint a closed month gets when Dagster looks at it for the first time."""
    return {(name, digest) for name, digest in fingerprint(url).items() if name == "close_certificate"}


@WAYS_TO_CLOSE
def test_a_locked_month_takes_nothing_more(books: str, tmp_path: Path, close_month: Callable[..., Close]) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    assert close_directly(books, JANUARY) == POSTED
    locked(books, JANUARY)
    before = fingerprint(books).items() - certificates(books)
    assert close_month(books, JANUARY) == NOTHING_NEW
    assert deliver(books, JANUARY, folder=tmp_path, seed=2).booked_in == FEBRUARY
    refused = close_month(books, JANUARY)
    assert refused.outcome == Outcome.PREFLIGHT_FAILED
    assert "2024-01 cannot take more entries: it is locked" in refused.problem
    assert fingerprint(books).items() - certificates(books) == before


def test_a_batch_that_was_staged_before_the_lock_is_not_posted_after_it(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    assert close_directly(books, JANUARY) == POSTED
    deliver(books, JANUARY, folder=tmp_path, seed=2)
    late = staged(books, JANUARY)
    locked(books, JANUARY)
    before = fingerprint(books)
    with pytest.raises(PreflightFailed, match="it is locked"):
        post(books, late)
    assert fingerprint(books) == before


# ------------------------------------------------------------------------------------------------ what keeps it open


def balances_taken(url: str, period: str) -> int:
    with connect(url) as connection:
        return take_snapshot(connection, period, first_period=FIRST_PERIOD, performed_by=ACTOR)


def test_a_load_that_no_batch_has_posted_keeps_its_month_from_closing(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    assert obstacles(books, JANUARY) == ["UNPROCESSED_LOAD"]
    batch = staged(books, JANUARY)
    assert obstacles(books, JANUARY) == ["OPEN_BATCH", "UNPROCESSED_LOAD"]
    post(books, batch)
    assert obstacles(books, JANUARY) == []
    late = deliver(books, JANUARY, folder=tmp_path, seed=2, rows=7)
    before = fingerprint(books)
    with pytest.raises(PreflightFailed) as refusal:
        balances_taken(books, JANUARY)
    assert f"load {late.load_id} ({late.file_name} of 2024-01, 7 rows in no posted batch)" in str(refusal.value)
    assert "ledger-assets close 2024-01" in str(refusal.value)
    assert fingerprint(books) == before
    assert close_directly(books, JANUARY) == POSTED


def test_refused_rows_exceptions_and_an_open_batch_are_listed(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    post(books, staged(books, JANUARY))
    deliver(books, JANUARY, folder=tmp_path, seed=2, rows=7, defects=["unknown_product"])
    staged(books, JANUARY)
    refused = deliver(books, JANUARY, folder=tmp_path, seed=3, rows=7, defects=["zero_amount"])
    kinds = ["OPEN_BATCH", "OPEN_EXCEPTIONS", "REFUSED_ROWS", "UNPROCESSED_LOAD", "UNPROCESSED_LOAD"]
    assert obstacles(books, JANUARY) == kinds
    with pytest.raises(PreflightFailed) as refusal:
        balances_taken(books, JANUARY)
    for said in ("1 transaction: NO_TEMPLATE", "1 refused row is open", "2024-01-MONTHEND-02 (VALIDATING)"):
        assert said in str(refusal.value)
    with connect(books) as connection:
        withdraw(connection, 2, reason="wrong product", by=ACTOR)
        acknowledge_rejections(connection, JANUARY, reason="known", by=ACTOR)
    assert close_directly(books, JANUARY) == POSTED
    assert refused.load_id in {row["load_id"] for row in rows_of(books, "SELECT load_id FROM control.load_batch")}


def test_a_long_list_of_obstacles_is_cut(books: str, tmp_path: Path) -> None:
    post(books, staged(books, JANUARY))
    for seed in range(12):
        deliver(books, JANUARY, folder=tmp_path, seed=seed, rows=1)
    with pytest.raises(PreflightFailed, match="; and 2 more"):
        balances_taken(books, JANUARY)


# ------------------------------------------------------------------------------------------------ late transactions


@WAYS_TO_CLOSE
def test_late_transactions_are_booked_in_the_open_month_and_keep_their_date(
    closed_url: str, tmp_path: Path, close_month: Callable[..., Close]
) -> None:
    before = [trial_balance(closed_url, period) for period in (JANUARY, FEBRUARY)]
    entries = "SELECT * FROM ledger.ledger_entry_line WHERE period < '2024-03' ORDER BY period, je_number, line_number"
    lines = rows_of(closed_url, entries)
    late = [deliver(closed_url, period, folder=tmp_path, seed=7, rows=10) for period in (JANUARY, FEBRUARY)]
    assert [result.booked_in for result in late] == [MARCH, MARCH]
    assert "2024-01 is closed: booked in 2024-03" in str(late[0])
    deliver(closed_url, MARCH, folder=tmp_path, rows=30)
    assert [close_month(closed_url, period) for period in (MARCH, MARCH)] == [POSTED, NOTHING_NEW]

    assert rows_of(closed_url, entries) == lines
    assert [trial_balance(closed_url, period) for period in (JANUARY, FEBRUARY)] == before
    booked = rows_of(
        closed_url,
        "SELECT h.je_date, h.original_date, t.bank_value_date, t.period FROM ledger.je_header h "
        "JOIN source.txn_source t ON t.txn_id = h.source_id WHERE h.period = '2024-03'",
    )
    assert len(booked) == 30 + 20
    for row in booked:
        if row["period"] == MARCH:
            assert (row["je_date"], row["original_date"]) == (row["bank_value_date"], None)
        else:
            assert (row["je_date"], row["original_date"]) == (date(2024, 3, 1), row["bank_value_date"])
    shown = rows_of(
        closed_url, "SELECT original_period, batch_id, count(*) FROM ledger.late_entry GROUP BY 1, 2 ORDER BY 1"
    )
    assert [tuple(row.values()) for row in shown] == [
        (JANUARY, "2024-03-MONTHEND", 10),
        (FEBRUARY, "2024-03-MONTHEND", 10),
    ]
    expected = (
        "SELECT sum(expected_count) = 50 AND sum(expected_count) = sum(actual_count) FROM control.batch_source_count"
    )
    assert value_of(closed_url, f"{expected} WHERE batch_id = '2024-03-MONTHEND'")
    assert rows_of(closed_url, "SELECT * FROM control.unprocessed_load") == []


def test_whether_late_or_in_time_the_totals_are_the_same(closed_url: str, books: str, tmp_path: Path) -> None:
    deliver(closed_url, JANUARY, folder=tmp_path, seed=7, rows=20)
    assert close_directly(closed_url, MARCH) == POSTED
    deliver(books, JANUARY, folder=tmp_path)
    deliver(books, JANUARY, folder=tmp_path, seed=7, rows=20)
    deliver(books, FEBRUARY, folder=tmp_path)
    assert [close_directly(books, period) for period in (JANUARY, FEBRUARY, MARCH)] == [POSTED] * 3
    assert closings(closed_url, MARCH) == closings(books, MARCH)
    movements = (
        "SELECT account_code, sum(debit) AS debit, sum(credit) AS credit FROM ledger.account_balance_snapshot "
        "GROUP BY 1 HAVING sum(debit) + sum(credit) > 0 ORDER BY 1"
    )
    assert rows_of(closed_url, movements) == rows_of(books, movements)
    funds = "SELECT fund, closing_balance FROM ledger.fund_balance WHERE period = '2024-03' ORDER BY 1"
    assert rows_of(closed_url, funds) == rows_of(books, funds)


def closings(url: str, period: str) -> dict[str, Decimal]:
    return {code: closing for code, (_, _, _, closing) in trial_balance(url, period).items()}


def test_materializing_closed_months_again_changes_nothing(closed_url: str, tmp_path: Path) -> None:
    deliver(closed_url, JANUARY, folder=tmp_path, seed=7, rows=10)
    assert close_directly(closed_url, MARCH) == POSTED
    before = fingerprint(closed_url)
    assert [close(closed_url, period) for period in (JANUARY, FEBRUARY, MARCH)] == [NOTHING_NEW] * 3
    locked(closed_url, JANUARY)
    assert close(closed_url, JANUARY) == NOTHING_NEW
    assert {name for name, digest in fingerprint(closed_url).items() if digest != before[name]} == {
        "control.period",
        "close_certificate",  # the months had been closed without Dagster, which certifies them
    }


def test_a_closed_month_leaves_late_transactions_to_the_open_one(closed_url: str, tmp_path: Path) -> None:
    deliver(closed_url, JANUARY, folder=tmp_path, seed=7, rows=10)
    before = fingerprint(closed_url)
    assert close_directly(closed_url, FEBRUARY) == NOTHING_NEW
    refused = close_directly(closed_url, JANUARY)
    assert "2024-02 is closed on its balances" in refused.problem
    assert "booked in 2024-03 when that is closed; or run ledger-assets reopen 2024-01 --chain" in refused.problem
    assert fingerprint(closed_url) == before


def test_a_month_that_closes_again_for_itself_takes_late_transactions_along(closed_url: str, tmp_path: Path) -> None:
    late = deliver(closed_url, JANUARY, folder=tmp_path, seed=7, rows=10)
    own = deliver(closed_url, FEBRUARY, folder=tmp_path, seed=8, rows=10)
    assert close_directly(closed_url, FEBRUARY) == POSTED
    posted = rows_of(closed_url, "SELECT load_id, batch_id FROM control.load_batch ORDER BY 1")[-2:]
    assert [tuple(row.values()) for row in posted] == [
        (late.load_id, "2024-02-MONTHEND-02"),
        (own.load_id, "2024-02-MONTHEND-02"),
    ]


def test_a_late_load_of_another_month_that_no_batch_has_posted_keeps_the_open_month_open(
    closed_url: str, tmp_path: Path
) -> None:
    post(closed_url, staged(closed_url, MARCH))
    late = deliver(closed_url, JANUARY, folder=tmp_path, seed=7, rows=10)
    with pytest.raises(PreflightFailed, match=f"load {late.load_id} .* of 2024-01, 10 rows"):
        balances_taken(closed_url, MARCH)
    assert close_directly(closed_url, MARCH) == POSTED
    assert batch_of(closed_url, MARCH).batch_id == "2024-03-MONTHEND-02"


def test_transactions_of_two_months_may_bear_the_same_id(closed_url: str, tmp_path: Path) -> None:
    january = generated(tmp_path, JANUARY, seed=7, rows=10).read_text()
    for period in (JANUARY, MARCH):
        (tmp_path / period).mkdir()
        copy = tmp_path / period / "same-ids.csv"
        copy.write_text(january.replace("2024-01", period))
        load(closed_url, copy, period)
    assert close_directly(closed_url, MARCH) == POSTED
    assert value_of(closed_url, "SELECT count(*) FROM ledger.ledger_entry_header WHERE period = '2024-03'") == 20


def test_late_transactions_are_journaled_by_the_rules_of_their_own_date(closed_url: str, tmp_path: Path) -> None:
    deliver(closed_url, JANUARY, folder=tmp_path, seed=7, rows=10, defects=["unknown_product"])
    refused = close_directly(closed_url, MARCH)
    assert refused.refused_by == {"record_count", "fund_reconciliation"}
    batch = batch_of(closed_url, MARCH)
    offending = failing_gates(closed_url, batch)["record_count"]
    assert [(row["txn_id"], row["problem"]) for row in offending] == [("TXN-202401-7-000000002", "NO_TEMPLATE")]
    detail = value_of(closed_url, "SELECT detail FROM control.exception_queue WHERE status = 'OPEN' LIMIT 1")
    assert "2024-01" in detail


def test_a_late_row_that_was_changed_is_shown(closed_url: str, tmp_path: Path) -> None:
    late = deliver(closed_url, JANUARY, folder=tmp_path, seed=7, rows=10)
    batch = staged(closed_url, MARCH)
    execute(
        closed_url,
        f"UPDATE source.txn_source SET policy_id = 'FORGED' WHERE load_id = {late.load_id} AND row_number = 3",
    )
    offending = failing_gates(closed_url, batch)["source_unchanged"]
    assert [(row["load_id"], row["row_number"]) for row in offending] == [(str(late.load_id), "3")]


@WAYS_TO_CLOSE
def test_refused_rows_of_a_late_load_stop_the_open_month(
    closed_url: str, tmp_path: Path, close_month: Callable[..., Close]
) -> None:
    deliver(closed_url, JANUARY, folder=tmp_path, seed=7, rows=10, defects=["zero_amount"])
    assert close_month(closed_url, MARCH).refused_by == {"rejected_rows_resolved"}
    with pytest.raises(PreflightFailed, match=r"1 refused source rows are open \(of 2024-01\)"):
        opened(closed_url, MARCH)
    assert close_month(closed_url, FEBRUARY) == NOTHING_NEW
    with connect(closed_url) as connection:
        acknowledge_rejections(connection, JANUARY, reason="known", by=ACTOR)
    assert close_month(closed_url, MARCH) == POSTED


def test_a_load_is_posted_once_although_two_months_planned_it(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    assert close_directly(books, JANUARY) == POSTED
    deliver(books, JANUARY, folder=tmp_path, seed=2, rows=10)
    own, other = staged(books, JANUARY), staged(books, FEBRUARY)
    assert post(books, own)
    balances_taken(books, JANUARY)
    before = fingerprint(books)
    with pytest.raises(PreflightFailed, match="was planned before load 2 was posted in 2024-01-MONTHEND-02"):
        post(books, other)
    assert fingerprint(books) == before
    assert close_directly(books, FEBRUARY) == POSTED
    assert batch_of(books, FEBRUARY).entry_count == 0


def test_the_batch_of_a_month_whose_load_went_to_a_later_one_is_given_up(books: str, tmp_path: Path) -> None:
    deliver(books, JANUARY, folder=tmp_path)
    assert close_directly(books, JANUARY) == POSTED
    deliver(books, JANUARY, folder=tmp_path, seed=2, rows=10)
    staged(books, JANUARY)
    assert close_directly(books, FEBRUARY) == POSTED
    assert close_directly(books, JANUARY) == NOTHING_NEW
    assert value_of(books, "SELECT state FROM control.batch WHERE batch_id = '2024-01-MONTHEND-02'") == "ABORTED"


def test_a_dry_run_takes_late_transactions_along(closed_url: str, tmp_path: Path) -> None:
    deliver(closed_url, JANUARY, folder=tmp_path, seed=7, rows=10)
    batch = staged(closed_url, MARCH, kind="DRYRUN")
    assert failing_gates(closed_url, batch) == {}
    assert value_of(closed_url, "SELECT sum(entry_count) FROM control.batch WHERE kind = 'DRYRUN'") == 10


# ------------------------------------------------------------------------------------------------ reopening


@pytest.mark.parametrize("reason", ["", "   "])
def test_a_month_is_not_reopened_without_a_reason(closed_url: str, reason: str) -> None:
    with pytest.raises(NotConfirmed, match="for a reason only"):
        reopened(closed_url, FEBRUARY, reason=reason)
    assert status_of(closed_url, FEBRUARY) == "CLOSED"


def test_only_what_is_closed_is_reopened(staged_url: str) -> None:
    for period, status in ((JANUARY, "CLOSING"), (FEBRUARY, "OPEN")):
        with pytest.raises(BatchStateError, match=f"it is {status}"):
            reopened(staged_url, period)


def test_a_month_that_later_ones_build_on_is_reopened_with_them_or_not(closed_url: str) -> None:
    post(closed_url, staged(closed_url, MARCH))
    before = fingerprint(closed_url)
    with pytest.raises(BuiltUpon, match=r"2024-01: later months build on it \(2024-02, 2024-03\)"):
        reopened(closed_url, JANUARY)
    assert fingerprint(closed_url) == before
    assert reopened(closed_url, JANUARY, chain=True) == [MARCH, FEBRUARY, JANUARY]
    assert {status_of(closed_url, period) for period in (JANUARY, FEBRUARY, MARCH)} == {"OPEN"}
    assert trail(closed_url, FEBRUARY)[-1] == ("REOPEN_PERIOD", "CLOSED", "OPEN")
    who = "SELECT period, close_number, reopened_by, reopen_reason FROM ledger.period_reopening ORDER BY period"
    assert [tuple(row.values()) for row in rows_of(closed_url, who)] == [
        (JANUARY, 1, "controller", "an invoice was missing"),
        (FEBRUARY, 1, "controller", "an invoice was missing"),
        (MARCH, None, "controller", "an invoice was missing"),
    ]


def test_a_reopened_month_that_is_closed_as_it_was_is_no_new_close(closed_url: str) -> None:
    before = trial_balance(closed_url, FEBRUARY)
    for _ in range(2):
        assert reopened(closed_url, JANUARY, chain=True) == [FEBRUARY, JANUARY]
        assert [close_directly(closed_url, period) for period in (JANUARY, FEBRUARY)] == [NOTHING_NEW] * 2
    assert trial_balance(closed_url, FEBRUARY) == before
    numbers = rows_of(closed_url, "SELECT period, close_number FROM ledger.period_close ORDER BY 1")
    assert [tuple(row.values()) for row in numbers] == [(JANUARY, 1), (FEBRUARY, 1)]
    assert rows_of(closed_url, "SELECT * FROM ledger.close_difference") == []


@WAYS_TO_CLOSE
def test_reopened_months_take_late_transactions_and_show_what_changed(
    closed_url: str, tmp_path: Path, close_month: Callable[..., Close]
) -> None:
    locked(closed_url, JANUARY)
    before = {period: closings(closed_url, period) for period in (JANUARY, FEBRUARY)}
    deliver(closed_url, JANUARY, folder=tmp_path, seed=7, rows=10)
    reopened(closed_url, JANUARY, chain=True)
    assert [close_month(closed_url, period) for period in (JANUARY, FEBRUARY)] == [POSTED, NOTHING_NEW]
    assert batch_of(closed_url, JANUARY).batch_id == "2024-01-MONTHEND-02"
    assert rows_of(closed_url, "SELECT * FROM ledger.late_entry") == []  # they are of their own month
    for period in (JANUARY, FEBRUARY):
        after = closings(closed_url, period)
        moved = {
            code: after[code] - before[period].get(code, 0) for code in after if after[code] != before[period].get(code)
        }
        with connect(closed_url) as connection:
            changes = periods.differences(connection, period)
        assert {row["account_code"]: row["closing_change"] for row in changes} == moved != {}
        assert {row["close_number"] for row in changes} == {2}
        kind = "debit_change" if period == JANUARY else "opening_change"
        assert any(row[kind] for row in changes)
        assert close_numbers(closed_url, period) == [1, 2]
    first = rows_of(closed_url, "SELECT * FROM ledger.closed_balance WHERE period = '2024-01' AND close_number = 1")
    assert {row["account_code"]: row["closing_balance"] for row in first} == before[JANUARY]


def test_a_month_cannot_be_closed_before_the_reopened_one_before_it(closed_url: str) -> None:
    reopened(closed_url, JANUARY, chain=True)
    with pytest.raises(PreflightFailed, match="2024-02 waits for 2024-01"):
        balances_taken(closed_url, FEBRUARY)


def test_reopening_for_a_late_load_leads_to_the_books_of_a_load_in_time(
    closed_url: str, books: str, tmp_path: Path
) -> None:
    """Whichever months it concerns; numbers and batches apart."""
    deliver(closed_url, MARCH, folder=tmp_path)
    months = (JANUARY, FEBRUARY, MARCH)
    assert close_directly(closed_url, MARCH) == POSTED
    for seed, month in ((7, FEBRUARY), (8, JANUARY), (9, MARCH)):
        deliver(closed_url, month, folder=tmp_path, seed=seed, rows=10)
        reopened(closed_url, month, chain=True)
        outcomes = [close_directly(closed_url, period).outcome for period in months if period >= month]
        assert outcomes == [Outcome.POSTED] + [Outcome.NOTHING_NEW] * (len(outcomes) - 1)
    for month, seed in ((JANUARY, 8), (FEBRUARY, 7), (MARCH, 9)):
        deliver(books, month, folder=tmp_path)
        deliver(books, month, folder=tmp_path, seed=seed, rows=10)
        assert close_directly(books, month) == POSTED
    for month in months:
        assert trial_balance(closed_url, month) == trial_balance(books, month)
    funds = "SELECT * FROM ledger.fund_balance ORDER BY period, fund"
    assert rows_of(closed_url, funds) == rows_of(books, funds)
    assert close_numbers(closed_url, MARCH) == [1, 2, 3, 4]


@pytest.mark.parametrize("table", ["period_close", "closed_balance", "period_reopening"])
@pytest.mark.parametrize("change", ["UPDATE ledger.{} SET period = '2024-09'", "DELETE FROM ledger.{}"])
def test_the_history_of_closes_is_append_only(closed_url: str, table: str, change: str) -> None:
    reopened(closed_url, FEBRUARY)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        execute(closed_url, change.format(table))
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        execute(closed_url, f"TRUNCATE ledger.{table} CASCADE")


# ------------------------------------------------------------------------------------------------ how it is told


@pytest.fixture
def run(closed_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`ledger-assets` on books with two closed months; Dagster's storage is not touched."""
    monkeypatch.setenv("LEDGER_DATABASE_URL", superuser(closed_url))
    monkeypatch.setattr("ledger_assets.storage.database.ensure_databases", lambda _: None)
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_commands_lock_and_reopen(run: Callable[..., Result], closed_url: str) -> None:
    answer = run("lock", FEBRUARY, "--json")
    assert (answer.exit_code, json.loads(answer.stdout)) == (0, {"locked": [JANUARY, FEBRUARY]})
    assert "2024-01 is locked already" in run("lock", JANUARY).stdout
    refused = run("reopen", JANUARY, "--reason", "an invoice was missing")
    assert (refused.exit_code, "build on it (2024-02)" in " ".join(refused.stderr.split())) == (1, True)
    assert run("reopen", FEBRUARY).exit_code == 1
    answer = json.loads(run("reopen", JANUARY, "--reason", "missing invoice", "--chain", "--json").stdout)
    assert answer["reopened"] == [FEBRUARY, JANUARY]
    assert answer["closes"][JANUARY][0]["reopen_reason"] == "missing invoice"
    standing = {row["account_code"]: Decimal(row["closing_balance"]) for row in answer["standing_balances"][FEBRUARY]}
    assert standing == closings(closed_url, FEBRUARY)


def test_status_shows_what_keeps_a_month_open_and_what_was_late(
    run: Callable[..., Result], closed_url: str, tmp_path: Path
) -> None:
    ingested = run("ingest", generated(tmp_path, JANUARY, seed=7, rows=10), "--period", JANUARY, "--json")
    assert json.loads(ingested.stdout)["booked_in"] == MARCH
    answer = json.loads(run("status", MARCH, "--json").stdout)
    assert (answer["month"][0]["status"], [row["kind"] for row in answer["obstacles"]]) == (
        "OPEN",
        ["UNPROCESSED_LOAD"],
    )
    assert close_directly(closed_url, MARCH) == POSTED
    reopened(closed_url, MARCH)
    deliver(closed_url, MARCH, folder=tmp_path, rows=5)
    assert close_directly(closed_url, MARCH) == POSTED
    answer = json.loads(run("status", MARCH, "--json").stdout)
    assert answer["obstacles"] == []
    (late,) = answer["late_transactions"]
    assert (late["original_period"], late["booked_in"], late["transactions"]) == (JANUARY, MARCH, 10)
    assert [row["close_number"] for row in answer["closes"]] == [1, 2]
    assert answer["changed_by_the_last_close"]
    assert "late transactions" in run("status", MARCH).stdout


def test_the_report_shows_late_transactions_and_what_a_close_changed(closed_url: str, tmp_path: Path) -> None:
    deliver(closed_url, JANUARY, folder=tmp_path, seed=7, rows=10)
    assert close_directly(closed_url, MARCH) == POSTED
    reopened(closed_url, MARCH, reason="<b>missing</b> invoice")
    deliver(closed_url, MARCH, folder=tmp_path, rows=5)
    assert close_directly(closed_url, MARCH) == POSTED
    locked(closed_url, MARCH)
    reports = {}
    for period in (JANUARY, MARCH):
        with connect(closed_url) as connection:
            reports[period] = reading.read(connection, period)
    assert reports[MARCH].open_points == reports[JANUARY].open_points == []
    assert reports[MARCH].status == "Locked"
    page = report_page.render(reports[MARCH])
    assert "What the last close changed" in page
    assert "&lt;b&gt;missing" in page
    for report in reports.values():
        (late,) = report.late
        assert (late["original_period"], late["booked_in"], late["transactions"]) == (JANUARY, MARCH, 10)
        assert "Late transactions" in report_page.render(report)


@pytest.mark.parametrize("notation", ["beancount", "hledger"])
def test_an_export_keeps_the_original_date(closed_url: str, tmp_path: Path, notation: str) -> None:
    deliver(closed_url, JANUARY, folder=tmp_path, seed=7, rows=10)
    assert close_directly(closed_url, MARCH) == POSTED
    file = tmp_path / "march"
    with connect(closed_url) as connection:
        assert export(connection, MARCH, file, notation=notation) == 10
    assert file.read_text().count("original_date: 2024-01-") == 10
    if notation == "beancount":
        entries, errors, _ = loader.load_file(str(file))
        assert errors == []
        dates = [entry.meta["original_date"] for entry in entries if "original_date" in entry.meta]
        assert {day.month for day in dates} == {1}


def test_the_asset_of_the_balances_fails_as_a_preflight_while_something_is_left(books: str, tmp_path: Path) -> None:
    post(books, staged(books, JANUARY))
    deliver(books, JANUARY, folder=tmp_path, rows=5)
    run = materialized(books, JANUARY, AssetSelection.assets("account_balance_snapshot").without_checks())
    (failure,) = (event for event in run.all_events if event.is_step_failure)
    failed: Any = failure.step_failure_data.user_failure_data
    assert "cannot be closed yet" in failed.description
    assert failed.metadata["preflight"].value == "PreflightFailed"


# ------------------------------------------------------------------------------------------------ ledgers from before

MIGRATIONS = Path(__file__).resolve().parents[1] / "sql" / "migrations"

MONTHS_FROM_BEFORE = """
INSERT INTO acct.chart_of_accounts (account_code, description, account_type, fund)
VALUES ('1100', 'Cash', 'ASSET', 'TABARRU');
INSERT INTO acct.rule_set (rule_set, version, prepared_by, content_hash)
VALUES ('combined', 1, 'agus', repeat('a', 64));
INSERT INTO control.period (period, status, closed_at)
VALUES ('2024-01', 'CLOSED', '2024-02-03'), ('2024-02', 'OPEN', NULL),
       ('2024-03', 'OPEN', NULL), ('2024-04', 'OPEN', NULL);
INSERT INTO control.batch (batch_id, period, kind, state, committed_at,
                           rule_set, rule_version, first_je_number, started_by)
VALUES ('2024-01-MONTHEND', '2024-01', 'MONTHEND', 'COMMITTED', '2024-02-01', 'combined', 1, 1, 'dewi'),
       ('2024-02-MONTHEND', '2024-02', 'MONTHEND', 'COMMITTED', '2024-03-01', 'combined', 1, 1, 'dewi'),
       ('2024-02-MONTHEND-02', '2024-02', 'MONTHEND', 'COMMITTED', '2024-03-09', 'combined', 1, 1, 'dewi'),
       ('2024-03-MONTHEND', '2024-03', 'MONTHEND', 'FAILED', NULL, 'combined', 1, 1, 'dewi'),
       ('2024-04-DRYRUN', '2024-04', 'DRYRUN', 'ABORTED', NULL, 'combined', 1, 1, 'dewi');
INSERT INTO audit.batch_operation (period, operation, performed_by, performed_at, outcome)
VALUES ('2024-01', 'CLOSE_PERIOD', 'budi', '2024-02-03', 'SUCCESS'),
       ('2024-02', 'CLOSE_PERIOD', 'rina', '2024-03-03', 'SUCCESS');
INSERT INTO ledger.account_balance_snapshot (period, account_code, fund, opening_balance, debit, credit)
VALUES ('2024-01', '1100', 'TABARRU', 0, 5, 0), ('2024-02', '1100', 'TABARRU', 5, 7, 0);
"""


def test_a_ledger_from_before_keeps_its_closes(test_server_url: str) -> None:
    name = f"from_before_{secrets.token_hex(4)}"
    with connect(test_server_url, autocommit=True) as connection:
        create_database(connection, name)
    url = with_database(test_server_url, name)
    try:
        for file in sorted(MIGRATIONS.glob("000*.sql")):
            execute(url, file.read_text())
        execute(url, MONTHS_FROM_BEFORE)
        execute(url, (MIGRATIONS / "0012_periods.sql").read_text())
        statuses = [row["status"] for row in rows_of(url, "SELECT status FROM control.period ORDER BY period")]
        assert statuses == ["CLOSED", "CLOSING", "CLOSING", "OPEN"]
        closes = rows_of(url, "SELECT period, close_number, closed_by, batches FROM ledger.period_close ORDER BY 1")
        assert [tuple(row.values()) for row in closes] == [
            (JANUARY, 1, "budi", ["2024-01-MONTHEND"]),
            (FEBRUARY, 1, "rina", ["2024-02-MONTHEND"]),
        ]
        assert value_of(url, "SELECT sum(closing_balance) FROM ledger.closed_balance") == 17
    finally:
        with connect(test_server_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
