"""Whatever is changed by hand before the commit is refused by it and shown by the gates; after it, nothing changes."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ledger_assets.accounting.source_errors import LoadRefusedError
from ledger_assets.close_result import Outcome
from ledger_assets.storage.batches import BatchStateError, GateFailed
from ledger_assets.storage.database import connect, database_name
from ledger_assets.storage.source_loads import withdraw
from ledger_assets_tests.conftest import cloned
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import (
    Close,
    batch_of,
    close,
    close_directly,
    deliver,
    execute,
    failing_gates,
    fingerprint,
    post,
    staged,
    staged_tables,
    store_rules,
    value_of,
)
from ledger_assets_tests.tampering import LEAF, TAMPERINGS, scene, tamper

pytestmark = pytest.mark.usefixtures("ledger_home")


# ------------------------------------------------------------------------------------------------ before the commit

EVERY_TAMPERING = [
    pytest.param(name, place, id=f"{name}-{place}" if place else name)
    for name, tampering in TAMPERINGS.items()
    for place in tampering.places
]
SHOWS_NO_ROW = {"the_numbers_of_the_period_have_moved"}
"""Nothing is wrong with any row then: the whole batch is out of place."""


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_before_the_gates(staged_url: str, name: str) -> None:
    tamper(staged_url, name, TAMPERINGS[name].places[0])
    assert_refused(staged_url, name)


@pytest.mark.parametrize(("name", "place"), EVERY_TAMPERING)
def test_tampering_between_gates_and_posting(ready_url: str, name: str, place: str) -> None:
    tamper(ready_url, name, place)
    assert_refused(ready_url, name)


def assert_refused(ledger_url: str, name: str) -> None:
    """Posting refuses by itself; the gates that should see the tampering do, and no other; then nothing can be posted
    any more, and what was staged lies there to be looked at.
    """
    batch, before, tables = batch_of(ledger_url, JANUARY), fingerprint(ledger_url), staged_tables(ledger_url)
    with pytest.raises(GateFailed) as refusal:
        post(ledger_url, batch)
    failing = failing_gates(ledger_url, batch)
    assert failing.keys() == TAMPERINGS[name].gates
    assert refusal.value.culprit in {f"batch {batch.batch_id} fails {gate}" for gate in failing}
    assert any(failing.values()) == (name not in SHOWS_NO_ROW)
    assert batch_of(ledger_url, JANUARY).state == "FAILED"
    with pytest.raises(BatchStateError, match="cannot be posted from state FAILED"):
        post(ledger_url, batch)
    assert fingerprint(ledger_url) == before
    assert staged_tables(ledger_url) == tables


def test_what_was_tampered_with_is_staged_again_and_posted(staged_url: str) -> None:
    tamper(staged_url, "a_line_is_worth_more", LEAF)
    assert failing_gates(staged_url, batch_of(staged_url, JANUARY)).keys() == TAMPERINGS["a_line_is_worth_more"].gates
    assert close_directly(staged_url, JANUARY) == Close(Outcome.POSTED)
    assert batch_of(staged_url, JANUARY).attempt == 2


def test_a_failed_batch_can_pass_when_what_measures_it_is_put_right(staged_url: str) -> None:
    batch = batch_of(staged_url, JANUARY)
    tamper(staged_url, "an_account_is_closed", "")
    assert failing_gates(staged_url, batch).keys() == {"fund_reconciliation"}
    execute(staged_url, "UPDATE acct.chart_of_accounts SET is_open = true")
    assert failing_gates(staged_url, batch) == {}
    assert post(staged_url, batch)


def test_a_source_row_that_was_changed_and_put_back_is_unchanged(staged_url: str) -> None:
    execute(staged_url, "UPDATE source.txn_source SET policy_id = policy_id || 'X' WHERE row_number = 7")
    execute(staged_url, "UPDATE source.txn_source SET policy_id = rtrim(policy_id, 'X') WHERE row_number = 7")
    assert post(staged_url, batch_of(staged_url, JANUARY))


def test_a_second_row_with_a_taken_number_is_refused_at_once(staged_url: str) -> None:
    leaf = scene(staged_url, LEAF)
    with pytest.raises(psycopg.errors.UniqueViolation):
        execute(staged_url, f"INSERT INTO {leaf.headers} SELECT * FROM {leaf.headers} WHERE je_number = 1")
    with pytest.raises(psycopg.errors.CheckViolation):
        execute(staged_url, f"UPDATE {leaf.headers} SET je_number = {leaf.last + 1} WHERE je_number = 1")


def test_a_load_that_changed_before_it_was_staged_stops_the_month(ledger_url: str, tmp_path: Path) -> None:
    store_rules(ledger_url)
    deliver(ledger_url, JANUARY, folder=tmp_path)
    before = fingerprint(ledger_url)
    execute(ledger_url, "UPDATE source.txn_source SET policy_id = 'POL-1' WHERE row_number = 7")
    assert close_directly(ledger_url, JANUARY) == Close(Outcome.GATE_FAILED, frozenset({"loads_intact"}))
    assert close(ledger_url, JANUARY).refused_by == {"loads_intact"}
    batch = staged(ledger_url, JANUARY)  # by a client that looks at no check
    assert failing_gates(ledger_url, batch).keys() == {"source_unchanged"}
    assert fingerprint(ledger_url) == before


def test_a_withdrawn_load_takes_its_batch_with_it(staged_url: str) -> None:
    batch, before = batch_of(staged_url, JANUARY), fingerprint(staged_url)
    with connect(staged_url) as connection:
        withdraw(connection, 1, reason="sent too early", by="operations")
    with pytest.raises(GateFailed):
        post(staged_url, batch)
    assert failing_gates(staged_url, batch).keys() == {"record_count", "fund_reconciliation", "source_unchanged"}
    assert fingerprint(staged_url) == before


# ------------------------------------------------------------------------------------------------ after the commit


@pytest.fixture(scope="module")
def posted_database(test_server_url: str, staged_database: str) -> Iterator[str]:
    """The name of a database in which January is posted. Nobody may stay connected to it."""
    with cloned(test_server_url, staged_database) as url:
        post(url, batch_of(url, JANUARY))
        yield database_name(url)


@pytest.fixture
def posted_url(test_server_url: str, posted_database: str) -> Iterator[str]:
    """The URL of such a database of this test's own."""
    with cloned(test_server_url, posted_database) as url:
        yield url


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {line} SET amount = amount + 1",
        "DELETE FROM {line}",
        "TRUNCATE {line}",
        "INSERT INTO {line} SELECT amount, je_number, line_number + 100, account_id, period FROM {line} LIMIT 1",
        "UPDATE {header} SET je_date = je_date - 1",
        "DELETE FROM {header}",
        "TRUNCATE {header}",
    ],
)
@pytest.mark.parametrize("place", ["leaf", "month", "root"])
def test_posted_entries_never_change(posted_url: str, statement: str, place: str) -> None:
    before = fingerprint(posted_url)
    suffix = {"leaf": "_2024_01_monthend_a1_w001", "month": "_2024_01", "root": ""}[place]
    change = statement.format(line=f"ledger.je_line{suffix}", header=f"ledger.je_header{suffix}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="posted entries never change"):
        execute(posted_url, change)
    assert fingerprint(posted_url) == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {source} SET policy_id = 'X'",
        "DELETE FROM {source} WHERE row_number = 7",
        "TRUNCATE {source}",
        "INSERT INTO {source} SELECT * FROM {source} LIMIT 1",
    ],
)
@pytest.mark.parametrize("source", ["txn_source_2024_01_load_1", "txn_source_2024_01", "txn_source"])
def test_source_rows_that_are_journaled_never_change(posted_url: str, statement: str, source: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="batch 2024-01-MONTHEND has journaled it"):
        execute(posted_url, statement.format(source=f"source.{source}"))
    assert value_of(posted_url, "SELECT checksum = source.load_checksum(load_id) FROM source.load")


def test_a_load_that_is_posted_cannot_be_withdrawn(posted_url: str) -> None:
    with connect(posted_url) as connection, pytest.raises(LoadRefusedError, match="batch 2024-01-MONTHEND has posted"):
        withdraw(connection, 1, reason="regret", by="operations")
