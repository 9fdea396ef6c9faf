"""Loads again, at once, killed and withdrawn, on a real PostgreSQL: everything or nothing, once, without a trace."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest

from ledger_assets.accounting.generation import generate, write
from ledger_assets.accounting.mapping import parse_mapping
from ledger_assets.accounting.source_errors import LoadRefusedError, SourceFileError
from ledger_assets.storage import source_files, source_loads
from ledger_assets.storage.database import connect
from ledger_assets.storage.source_loads import LoadResult, acknowledge_rejections, withdraw
from ledger_assets_tests.disturbances import waiting_backend
from ledger_assets_tests.storage.source_delivery import (
    BLOCK_BYTES,
    at_rows,
    everything,
    january,
    load,
    rewritten,
    rows_of,
    value_of,
)
from ledger_assets_tests.waiting import PATIENCE, wait_until


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_files, "_CSV_BLOCK_BYTES", BLOCK_BYTES)


def test_the_same_file_again_changes_nothing(ledger: psycopg.Connection, tmp_path: Path) -> None:
    path = january(tmp_path, defects=("zero_amount",))
    first = load(ledger, path)
    before = everything(ledger)
    again = load(ledger, path.rename(path.with_name("renamed.csv")), loaded_by="somebody else")
    assert everything(ledger) == before
    assert again.already_loaded
    assert (again.load_id, again.file_name, again.reasons) == (first.load_id, "january.csv", {"ZERO_AMOUNT": 1})
    assert "is loaded already" in str(again)


def test_a_corrected_file_brings_what_is_new_and_resolves_what_was_rejected(
    ledger: psycopg.Connection, tmp_path: Path
) -> None:
    bad = load(ledger, january(tmp_path, "bad.csv", defects=("zero_amount", "missing_id")))
    good = load(ledger, january(tmp_path, "good.csv"))
    assert (good.accepted_count, good.unchanged_count, good.rejected_count) == (2, 298, 0)
    assert value_of(ledger, "SELECT count(DISTINCT txn_id) FROM source.txn_source") == 300
    rejected = rows_of(ledger, "SELECT * FROM source.rejected_row ORDER BY row_number")
    assert [(row["row_number"], row["status"], row["resolved_by_load"]) for row in rejected] == [
        (2, "RESOLVED", good.load_id), (4, "OPEN", None),
    ]  # fmt: skip
    assert rejected[0]["resolution"] == f"accepted in load {good.load_id}"
    overlap = rows_of(ledger, "SELECT earlier_load_id, unchanged_count FROM source.load_overlap")
    assert overlap == [{"earlier_load_id": bad.load_id, "unchanged_count": 298}]


def test_an_id_of_an_earlier_load_with_other_content_is_rejected(ledger: psycopg.Connection, tmp_path: Path) -> None:
    load(ledger, january(tmp_path))
    changes = [at_rows("channel", "CHANGED", 5, 250), at_rows("policy_id", "x" * 201, 7)]
    path = rewritten(january(tmp_path), "changed.csv", lambda frame: frame.with_columns(changes))
    result = load(ledger, path)
    assert (result.accepted_count, result.unchanged_count, result.rejected_count) == (0, 297, 3)
    rejected = rows_of(ledger, "SELECT row_number, reasons, raw FROM source.rejected_row ORDER BY 1")
    assert [(row["row_number"], row["reasons"]) for row in rejected] == [
        (5, ["DUPLICATE_TXN_ID"]), (7, ["TEXT_TOO_LONG", "DUPLICATE_TXN_ID"]), (250, ["DUPLICATE_TXN_ID"]),
    ]  # fmt: skip
    assert rejected[0]["raw"]["channel"] == "CHANGED"


def test_the_same_ids_in_another_month_are_no_repetition(ledger: psycopg.Connection, tmp_path: Path) -> None:
    load(ledger, january(tmp_path))
    to_february = pl.lit("2025-02-01").alias("bank_value_date")
    moved = rewritten(january(tmp_path), "moved.csv", lambda frame: frame.with_columns(to_february))
    assert load(ledger, moved, period="2025-02").accepted_count == 300


def test_two_at_once_load_a_file_once(ledger_url: str, tmp_path: Path) -> None:
    path = january(tmp_path, rows=3000)

    def in_own_connection(_: int) -> LoadResult:
        with connect(ledger_url) as connection:
            return load(connection, path)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(in_own_connection, range(4)))
    assert sorted(result.already_loaded for result in results) == [False, True, True, True]
    with connect(ledger_url) as connection:
        assert value_of(connection, "SELECT count(*) FROM source.txn_source") == 3000
        assert value_of(connection, "SELECT count(*) FROM source.load") == 1


def test_several_months_at_once_start_without_waiting_for_ever(ledger_url: str, tmp_path: Path) -> None:
    months = [f"2025-{month:02}" for month in range(1, 7)]
    for month in months:
        write(generate(month, 500, 1), tmp_path / f"{month}.parquet")

    def in_own_connection(month: str) -> int:
        with connect(ledger_url) as connection:
            return load(connection, tmp_path / f"{month}.parquet", period=month, currency=None).accepted_count

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(in_own_connection, months)) == [500] * 6


# ------------------------------------------------------------------------------------------------ all, or nothing

LOCKS = """SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
CHILD = """
import sys
from pathlib import Path
from ledger_assets.accounting.source_mapping import SourceMapping
from ledger_assets.storage import source_files
from ledger_assets.storage.database import connect
from ledger_assets.storage.source_loads import ingest
source_files._CSV_BLOCK_BYTES = 16_000
with connect(sys.argv[1]) as connection:
    ingest(connection, Path(sys.argv[2]), period="2025-01", mapping=SourceMapping(), currency="IDR", loaded_by="child",
           progress=lambda rows: (print(rows, flush=True), sys.stdin.readline()))
"""


@pytest.mark.parametrize("after_batches", [0, 1, 20])
def test_killed_at_any_batch_it_leaves_nothing(
    ledger: psycopg.Connection, ledger_url: str, tmp_path: Path, after_batches: int
) -> None:
    path = january(tmp_path, rows=4_000)
    ledger.commit()
    before = everything(ledger)
    ledger.commit()
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, ledger_url, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child:
        if after_batches == 0:
            _wait_until(lambda: value_of(ledger, LOCKS) > 0, ledger)
        for _ in range(after_batches):  # it goes on when it is told to, so that it is not through before it is killed
            assert child.stdout.readline()
            child.stdin.write("\n")
            child.stdin.flush()
        os.kill(child.pid, signal.SIGKILL)
    _wait_until(lambda: value_of(ledger, LOCKS) == 0, ledger)
    assert everything(ledger) == before
    assert load(ledger, path).accepted_count == 4_000


def _wait_until(happens: Callable[[], bool], ledger: psycopg.Connection) -> None:
    def asked_anew() -> bool:
        ledger.rollback()
        return happens()

    wait_until(asked_anew)


def test_a_fault_at_the_end_leaves_nothing(
    ledger: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(ledger)

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(source_loads, "_result", fail)
    with pytest.raises(KeyboardInterrupt):
        load(ledger, january(tmp_path))
    assert everything(ledger) == before


def test_a_file_that_changes_while_it_is_read_is_refused(ledger: psycopg.Connection, tmp_path: Path) -> None:
    path = january(tmp_path)
    before = everything(ledger)
    with pytest.raises(SourceFileError, match="changed while it was read"):
        load(ledger, path, progress=lambda _: os.utime(path, (1, 1)))
    assert everything(ledger) == before


def test_rows_that_would_be_lost_are_noticed_by_the_database(
    ledger: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The count of what was read and the count of what is stored come from different sides."""

    def forgetful(*arguments: Any, **options: Any) -> Any:
        judgement = original(*arguments, **options)
        return judgement._replace(accepted=judgement.accepted.head(-1))

    original = source_loads.judge
    monkeypatch.setattr(source_loads, "judge", forgetful)
    with pytest.raises(psycopg.errors.CheckViolation, match="no_row_is_lost"):
        load(ledger, january(tmp_path))


# ------------------------------------------------------------------------------------------------ the books' currency


def test_the_first_load_sets_the_currency_of_the_books(ledger: psycopg.Connection, tmp_path: Path) -> None:
    load(ledger, january(tmp_path), currency=None)
    assert value_of(ledger, "SELECT currency FROM source.book_currency") == "IDR"
    to_dollars = pl.lit("USD").alias("currency")
    dollars = rewritten(january(tmp_path, seed=2), "dollars.csv", lambda frame: frame.with_columns(to_dollars))
    assert load(ledger, dollars, currency=None).reasons == {"WRONG_CURRENCY": 300}
    with pytest.raises(LoadRefusedError, match=r"kept in IDR.*set it to IDR"):
        load(ledger, january(tmp_path, seed=3), currency="USD")


@pytest.mark.parametrize("row", [2, 300])
def test_a_first_load_in_two_currencies_is_refused_unless_one_is_named(
    ledger: psycopg.Connection, tmp_path: Path, row: int
) -> None:
    one_in_dollars = at_rows("currency", "USD", row)
    mixed = rewritten(january(tmp_path), "mixed.csv", lambda frame: frame.with_columns(one_in_dollars))
    with pytest.raises(LoadRefusedError, match=r"IDR, USD.*set LEDGER_CURRENCY"):
        load(ledger, mixed, currency=None)
    assert value_of(ledger, "SELECT count(*) FROM source.book_currency") == 0
    assert load(ledger, mixed, currency="IDR").reasons == {"WRONG_CURRENCY": 1}


def test_skipped_rows_do_not_say_in_which_currency_the_books_are(ledger: psycopg.Connection, tmp_path: Path) -> None:
    early_in_dollars = [at_rows("currency", "USD", *range(1, 251)), at_rows("channel", "OTHER", *range(1, 251))]
    path = rewritten(january(tmp_path), "mixed.csv", lambda frame: frame.with_columns(early_in_dollars))
    mapping = parse_mapping(b'[skip]\nwhere = { channel = ["OTHER"] }', "m.toml")
    result = load(ledger, path, mapping=mapping, currency=None)
    assert (result.accepted_count, result.skipped_count, result.rejected_count) == (50, 250, 0)


def test_a_currency_can_be_corrected_while_the_books_are_empty(ledger: psycopg.Connection, tmp_path: Path) -> None:
    mistaken = load(ledger, january(tmp_path))
    with pytest.raises(LoadRefusedError):
        load(ledger, january(tmp_path, seed=2), currency="USD")
    withdraw(ledger, mistaken.load_id, reason="currency", by="tester")
    assert load(ledger, january(tmp_path, seed=2), currency="USD").reasons == {"WRONG_CURRENCY": 300}


# ------------------------------------------------------------------------------------------------------- out again


def test_a_withdrawn_load_leaves_its_record_and_can_be_loaded_again(ledger: psycopg.Connection, tmp_path: Path) -> None:
    path = january(tmp_path, defects=("zero_amount",))
    first = load(ledger, path)
    version = value_of(ledger, "SELECT content_version FROM source.load")
    withdraw(ledger, first.load_id, reason="wrong file", by="the boss")
    assert value_of(ledger, "SELECT count(*) FROM source.txn_source") == 0
    assert value_of(ledger, "SELECT to_regclass(%s)", f"source.txn_source_2025_01_load_{first.load_id}") is None
    (record,) = rows_of(ledger, "SELECT * FROM source.load")
    assert (record["status"], record["withdrawn_by"], record["withdrawal_reason"], record["leaf"]) == (
        "WITHDRAWN", "the boss", "wrong file", None,
    )  # fmt: skip
    assert record["content_version"] > version, "a batch that measured the rows must notice"
    assert value_of(ledger, "SELECT resolution FROM source.rejected_row") == "load withdrawn: wrong file"
    again = load(ledger, path)
    assert (again.already_loaded, again.accepted_count) == (False, 299)
    assert again.load_id != first.load_id


def test_withdrawing_a_correction_opens_again_what_it_resolved(ledger: psycopg.Connection, tmp_path: Path) -> None:
    load(ledger, january(tmp_path, "bad.csv", defects=("zero_amount",)))
    before = rows_of(ledger, "SELECT * FROM source.rejected_row")
    good = load(ledger, january(tmp_path, "good.csv"))
    withdraw(ledger, good.load_id, reason="x", by="tester")
    assert rows_of(ledger, "SELECT * FROM source.rejected_row") == before


def test_what_cannot_be_withdrawn(ledger: psycopg.Connection, tmp_path: Path) -> None:
    first = load(ledger, january(tmp_path, "bad.csv", defects=("zero_amount",)))
    second = load(ledger, january(tmp_path, "good.csv"))
    ledger.commit()
    with pytest.raises(LoadRefusedError, match=f"load {second.load_id} left rows out"):
        withdraw(ledger, first.load_id, reason="x", by="tester")
    with pytest.raises(LoadRefusedError, match="there is no such load"):
        withdraw(ledger, 999, reason="x", by="tester")
    withdraw(ledger, second.load_id, reason="x", by="tester")
    with pytest.raises(LoadRefusedError, match="withdrawn already"):
        withdraw(ledger, second.load_id, reason="x", by="tester")
    withdraw(ledger, first.load_id, reason="x", by="tester")
    assert value_of(ledger, "SELECT count(*) FROM source.txn_source") == 0


def test_a_load_that_a_batch_has_posted_stays(
    ledger: psycopg.Connection, by_hand: psycopg.Connection, tmp_path: Path
) -> None:
    result = load(ledger, january(tmp_path))
    by_hand.execute("SET session_replication_role = replica")  # no batch is needed to see what its row forbids
    by_hand.execute("INSERT INTO control.load_batch VALUES (%s, '2025-01-MONTHEND')", [result.load_id])
    by_hand.commit()
    with pytest.raises(LoadRefusedError, match="batch 2025-01-MONTHEND has posted it"):
        withdraw(ledger, result.load_id, reason="x", by="tester")
    assert value_of(ledger, "SELECT count(*) FROM source.txn_source") == 300


def test_a_withdrawal_waits_for_readers_and_stops_nobody_else(
    ledger: psycopg.Connection, ledger_url: str, tmp_path: Path
) -> None:
    result = load(ledger, january(tmp_path))
    ledger.commit()
    with connect(ledger_url) as reader, ThreadPoolExecutor(1) as pool, connect(ledger_url) as other:
        seen = value_of(reader, "SELECT count(*) FROM source.txn_source WHERE period = '2025-01'")
        withdrawal = pool.submit(withdraw, other, result.load_id, reason="x", by="tester")
        waiting_backend(ledger_url)
        assert not withdrawal.done()
        assert value_of(reader, "SELECT count(*) FROM source.txn_source WHERE period = '2025-01'") == seen == 300
        reader.commit()
        withdrawal.result(timeout=PATIENCE)
    assert value_of(ledger, "SELECT count(*) FROM source.txn_source") == 0


def test_acknowledged_rejections_wait_for_nobody(ledger: psycopg.Connection, tmp_path: Path) -> None:
    load(ledger, january(tmp_path, "bad.csv", defects=("zero_amount", "missing_policy")))
    assert acknowledge_rejections(ledger, "2025-02", reason="x", by="boss") == 0
    assert acknowledge_rejections(ledger, "2025-01", reason="left out for good", by="boss") == 2
    assert acknowledge_rejections(ledger, "2025-01", reason="again", by="boss") == 0
    statuses = rows_of(ledger, "SELECT DISTINCT status, resolution, resolved_by FROM source.rejected_row")
    assert statuses == [{"status": "ACKNOWLEDGED", "resolution": "left out for good", "resolved_by": "boss"}]


# ---------------------------------------------------------------------------------------------- the oldest PostgreSQL


@pytest.fixture
def oldest(oldest_url: str) -> Iterator[psycopg.Connection]:
    with connect(oldest_url) as connection:
        yield connection


def test_the_oldest_server_does_it_too_and_finds_the_same_checksum(
    oldest: psycopg.Connection, ledger: psycopg.Connection, tmp_path: Path
) -> None:
    path = january(tmp_path, defects=("zero_amount", "duplicate_id"))
    results = [load(connection, path) for connection in (oldest, ledger)]
    assert results[0].checksum == results[1].checksum
    corrected = load(oldest, january(tmp_path, "good.csv"))
    assert (corrected.accepted_count, corrected.unchanged_count) == (2, 298)
    withdraw(oldest, corrected.load_id, reason="x", by="tester")
