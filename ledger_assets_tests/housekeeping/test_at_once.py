"""Somebody corrects, closes or reads while a month goes to files."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ledger_assets.storage.archives import Layer
from ledger_assets.storage.archiving import ArchivedMonth
from ledger_assets.storage.batches import BatchStateError
from ledger_assets.storage.database import connect
from ledger_assets_tests.housekeeping.conftest import APRIL, JANUARY, MARCH, Books, archived
from ledger_assets_tests.logins import batch_admin
from ledger_assets_tests.scenario import (
    batch_of,
    close_directly,
    deliver,
    fingerprint,
    opened,
    rows_of,
    value_of,
)
from ledger_assets_tests.waiting import wait_until


@contextmanager
def archiving_meanwhile(books: Books, layer: Layer) -> Iterator[Future[ArchivedMonth]]:
    """January goes to files in a thread; the block begins when it waits for a lock, or is through."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(archived, books, JANUARY, layer)
        waits = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
            "AND query LIKE '%%take_to_archive%%'"
        )
        wait_until(lambda: future.done() or value_of(books.url, waits))
        yield future


def test_transactions_do_not_go_while_their_batch_is_rolled_back(books: Books):
    """March booked a late load of January; rolled back, it waits to be posted again: with its rows."""
    march = batch_of(books.url, MARCH).batch_id
    with closing(connect(batch_admin(books.url))) as connection:
        connection.execute("SELECT ledger.roll_back_chain(%s, 'wrong', %s, 'tester', true)", [march, march])
        with archiving_meanwhile(books, "SOURCE") as future:
            connection.commit()
    with pytest.raises(BatchStateError, match="somebody rolled back or reopened meanwhile"):
        future.result()
    waiting = "SELECT l.leaf IS NOT NULL AS is_there FROM control.unprocessed_load JOIN source.load l USING (load_id)"
    assert {row["is_there"] for row in rows_of(books.url, waiting)} == {True}
    assert close_directly(books.url, MARCH).refused_by == frozenset()


def test_a_month_with_an_open_batch_stays(books: Books, tmp_path: Path):
    """Late transactions are being staged into it: their batch could neither be posted nor given up afterwards."""
    deliver(books.url, APRIL, folder=tmp_path, rows=5, seed=77)
    batch, _ = opened(books.url, APRIL)
    before = fingerprint(books.url)
    with pytest.raises(BatchStateError, match=f"{batch.batch_id} is not finished.*ledger-assets abort"):
        archived(books, APRIL)
    assert fingerprint(books.url) == before
    with connect(batch_admin(books.url)) as connection:
        connection.execute("SELECT control.abort_batch(%s, 'wrong', 'tester')", [batch.batch_id])
    assert archived(books, APRIL).rows > 0


@pytest.mark.parametrize(("first", "second"), [("line", "header"), ("header", "line")])
def test_a_reader_is_waited_for_in_whatever_order_he_reads(books: Books, first: str, second: str):
    """He holds one table and wants the other: whoever waits while he holds that one makes a deadlock."""
    read = "SELECT count(*) FROM ledger.ledger_entry_{} WHERE period = '2024-01'"
    with closing(connect(books.url)) as connection:
        connection.execute(read.format(first).encode())
        with archiving_meanwhile(books, "LEDGER") as future:
            assert not future.done()
            (found,) = connection.execute(read.format(second).encode()).fetchone() or (0,)
            assert found > 0
            connection.rollback()
        assert future.result().rows > 0
