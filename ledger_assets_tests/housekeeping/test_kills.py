"""Killed at any instruction: the tables are there, or a proven archive is recorded; and the next try succeeds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import LiteralString

import pytest

from ledger_assets.storage.archiving import Place, archive_month, restore_month
from ledger_assets_tests.disturbances import facts, held, waiting_backend
from ledger_assets_tests.housekeeping.conftest import JANUARY, Books, archived, findings
from ledger_assets_tests.scenario import ACTOR, fingerprint, value_of
from ledger_assets_tests.torture import children
from ledger_assets_tests.waiting import wait_until

SECOND_LEAF = "(SELECT line_leaf FROM control.batch_worker WHERE batch_id = '2024-01-MONTHEND' AND worker_number = 2)"


def archiving(place: Place, layer: str, _: Connection) -> None:
    """In a child process."""
    archive_month(place, JANUARY, layer, active_months=0, performed_by=ACTOR)  # type: ignore[arg-type]


def restoring(place: Place, layer: str, _: Connection) -> None:
    """In a child process."""
    restore_month(place, JANUARY, [layer], performed_by=ACTOR)  # type: ignore[list-item]


@contextmanager
def killed_while_waiting(books: Books, body: Callable[..., None], layer: str, lock: LiteralString) -> Iterator[None]:
    """Start it, let it run into a lock, kill -9, let go of the lock, and wait until the server has noticed."""
    with held(books.url, lock) as let_go:
        child, reports = children.start(body, books.place, layer)
        waiting_backend(books.url)
        child.kill()
        child.join()
        reports.close()
        yield
        let_go()
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    wait_until(lambda: not value_of(books.url, others))


def leaf_named(url: str) -> str:
    return str(value_of(url, f"SELECT {SECOND_LEAF}::text"))


def test_in_the_middle_of_the_files(books: Books):
    before = fingerprint(books.url)
    with killed_while_waiting(
        books, archiving, "LEDGER", f"LOCK TABLE {leaf_named(books.url)} IN ACCESS EXCLUSIVE MODE"
    ):  # type: ignore[arg-type]
        (left,) = (books.archive / JANUARY).iterdir()
        assert left.name.startswith(".unfinished-ledger-")
        assert len(list(left.iterdir())) >= 2
    assert fingerprint(books.url) == before
    assert findings(books) == ("PROVEN", [])
    archived(books, JANUARY)
    assert [path.name for path in (books.archive / JANUARY).iterdir()] == ["ledger-1"]
    assert findings(books) == ("PROVEN", [])


@pytest.mark.parametrize("layer", ["LEDGER", "SOURCE"])
def test_between_the_files_and_the_drop(books: Books, layer: str):
    before = fingerprint(books.url)
    lock: LiteralString = (
        "SELECT FROM control.period WHERE period = '2024-01' FOR UPDATE"
        if layer == "LEDGER"
        else "SELECT source.lock_period('2024-01')"
    )
    with killed_while_waiting(books, archiving, layer, lock):
        assert (books.archive / JANUARY / f"{layer.lower()}-1" / "MANIFEST.json").exists()
    assert fingerprint(books.url) == before
    assert value_of(books.url, "SELECT count(*) FROM control.archive") == 0
    assert findings(books) == ("PROVEN", [])
    assert archived(books, JANUARY, layer).directory == f"2024-01/{layer.lower()}-1"
    assert findings(books) == ("PROVEN", [])


def test_in_the_middle_of_the_commit(books: Books):
    """The server is asked to commit, and nobody hears the answer: the month is archived all the same, and proven."""
    with killed_while_waiting(books, archiving, "LEDGER", "LOCK TABLE audit.operation_chain IN EXCLUSIVE MODE"):
        pass
    assert value_of(books.url, "SELECT count(*) FROM control.standing_archive") == 1
    assert findings(books) == ("PROVEN", [])
    restore_month(books.place, JANUARY, ["LEDGER"], performed_by=ACTOR)
    assert findings(books) == ("PROVEN", [])


@pytest.mark.parametrize("layer", ["LEDGER", "SOURCE"])
def test_in_the_middle_of_the_restore(books: Books, layer: str):
    shown = facts(books.url)
    archived(books, JANUARY, layer)
    before = fingerprint(books.url)
    table = "ledger.je_line_2024_01" if layer == "LEDGER" else "source.txn_source_2024_01"
    with killed_while_waiting(books, restoring, layer, f"LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE"):  # type: ignore[arg-type]
        pass
    assert fingerprint(books.url) == before
    assert value_of(books.url, "SELECT count(*) FROM control.standing_archive") == 1
    assert findings(books) == ("PROVEN", [])
    restore_month(books.place, JANUARY, [layer], performed_by=ACTOR)
    assert facts(books.url) == shown
    assert findings(books) == ("PROVEN", [])
