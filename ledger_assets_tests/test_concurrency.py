"""Several at work on the same books at once: committers, stagers, loaders, tamperers, readers.

Each meeting is arranged, not hoped for: a lock stops one of them at a chosen place until the other has come, and has
done or waits for what the test is about.
"""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, LiteralString, NamedTuple

import psycopg
import pytest

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.source_errors import LoadRefusedError
from ledger_assets.storage import periods
from ledger_assets.storage.batches import Batch, BatchStateError, BuiltUpon, GateFailed, PreflightFailed
from ledger_assets.storage.database import connect
from ledger_assets.storage.source_loads import withdraw
from ledger_assets_tests import disturbances, scenario
from ledger_assets_tests.disturbances import Facts, cloned, facts, held, ready_to_post, take_balances, waiting_backend
from ledger_assets_tests.logins import batch_admin, superuser
from ledger_assets_tests.scenario import FIRST_PERIOD, ROWS, staged_tables

SECOND: Final = "2024-02"
AT_THE_END: Final = "LOCK TABLE audit.batch_operation IN SHARE MODE"
AT_THE_SEAL: Final = "LOCK TABLE ledger.seal_chain IN SHARE MODE"
"""Stops a posting, or whatever else moves a batch's state, when everything but that is done."""


@pytest.fixture(scope="module")
def alone(test_server_url: str, loaded_books: str) -> Facts:
    """What the books say when one close runs alone."""
    with cloned(test_server_url, loaded_books) as url:
        disturbances.close(url)
        return facts(url)


class Ready(NamedTuple):
    """Books of a test's own in which the month is staged and through its gates."""

    url: str
    batch: Batch


@pytest.fixture
def ready(test_server_url: str, ready_books: tuple[str, Batch]) -> Iterator[Ready]:
    name, batch = ready_books
    with cloned(test_server_url, name) as url:
        yield Ready(url, batch)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def has_nothing(url: str) -> bool:
    return not any(facts(url).values())


class Neighbours(NamedTuple):
    """The first month closed, with a late load ready to be posted, and the second month ready for the first time."""

    url: str
    late: Batch
    following: Batch


@pytest.fixture
def neighbours(books: str, tmp_path: Path) -> Neighbours:
    disturbances.close(books)
    scenario.deliver(books, SECOND, folder=tmp_path)
    following = ready_to_post(books, SECOND)  # before the late load is there, which it would take along
    scenario.deliver(books, FIRST_PERIOD, folder=tmp_path, rows=5, seed=2)
    return Neighbours(books, ready_to_post(books), following)


# Two committers


def test_two_committers_of_a_batch_post_it_once(ready: Ready, alone: Facts, pool: ThreadPoolExecutor):
    books, batch = ready
    with held(books, AT_THE_END):
        first = pool.submit(scenario.post, books, batch)
        waiting_backend(books)
        second = pool.submit(scenario.post, books, batch)
        waiting_backend(books, 2)
    assert (first.result(), second.result()) == (True, False)
    take_balances(books)
    assert facts(books) == alone


def test_a_committer_posts_in_the_stead_of_one_who_lost_his_connection(
    ready: Ready, alone: Facts, pool: ThreadPoolExecutor
):
    books, batch = ready
    with held(books, AT_THE_END):
        first = pool.submit(scenario.post, books, batch)
        backend = waiting_backend(books)
        second = pool.submit(scenario.post, books, batch)
        waiting_backend(books, 2)
        with connect(books) as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", [backend])
        waiting_backend(books, 2)  # the first has lost its connection, and comes again
    assert sorted([first.result(), second.result()]) == [False, True]
    take_balances(books)
    assert facts(books) == alone


# Two closes


@pytest.mark.parametrize("round_", range(6))
def test_closes_of_a_month_at_once_post_it_once(books: str, alone: Facts, pool: ThreadPoolExecutor, round_: int):
    closes = [pool.submit(close_or_yield, books) for _ in range(2 + round_ % 2)]
    outcomes = [close.result() for close in closes]
    assert outcomes.count(True) == 1, outcomes
    take_balances(books)
    assert facts(books) == alone
    assert staged_tables(books) == []


def close_or_yield(url: str) -> bool | str:
    """Close; what refuses somebody whose batch another close has replaced is the answer, everything else is raised."""
    try:
        return disturbances.close(url)
    except (LedgerError, psycopg.errors.ObjectNotInPrerequisiteState, RuntimeError, AssertionError) as refusal:
        return f"{type(refusal).__name__}: {refusal}"


def test_a_close_that_begins_while_another_stages_takes_over(books: str, alone: Facts, pool: ThreadPoolExecutor):
    """The worker that was writing then does so for nobody: nothing of it may be left."""
    first = disturbances.opened(books)
    with held(books, "LOCK TABLE control.batch_checkpoint IN SHARE MODE"):
        staging = pool.submit(disturbances.stage_opened, books, first)
        waiting_backend(books, 2)
        second = pool.submit(disturbances.close, books)
        waiting_backend(books, 3)
    with pytest.raises((psycopg.errors.ObjectNotInPrerequisiteState, RuntimeError, BatchStateError)):
        staging.result()
    assert second.result()
    assert facts(books) == alone
    assert staged_tables(books) == []


def test_a_staging_that_is_refused_leaves_no_thread_behind(books: str):
    """Threads that are left to the garbage collector are waited for wherever it runs: once it was one of them."""
    first = disturbances.opened(books)
    disturbances.opened(books)
    with pytest.raises((psycopg.errors.ObjectNotInPrerequisiteState, RuntimeError, BatchStateError)) as refusal:
        disturbances.stage_opened(books, first)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("source-reader")] == []
    del refusal  # its traceback would have kept them


def test_a_close_that_begins_while_another_is_in_its_gates_takes_over(
    books: str, alone: Facts, pool: ThreadPoolExecutor
):
    first = scenario.staged(books, FIRST_PERIOD)
    # As after a change by hand, so that the gates read what staging has measured.
    scenario.execute(books, "UPDATE control.batch_worker SET content_version = content_version + 1")
    with held(books, "LOCK TABLE control.worker_measure IN SHARE MODE"):
        gates = pool.submit(scenario.failing_gates, books, first)
        waiting_backend(books, 2)
        second = pool.submit(scenario.staged, books, FIRST_PERIOD)
        waiting_backend(books, 3)
    # Usually refused; a server with much else to do may let the gates end before it wakes the second close.
    with contextlib.suppress(BatchStateError):
        gates.result()
    replacement = second.result()
    assert replacement.attempt == first.attempt + 1
    assert scenario.failing_gates(books, replacement) == {}
    assert scenario.post(books, replacement)
    take_balances(books)
    assert facts(books) == alone


def test_gates_of_a_batch_that_was_replaced_say_nothing_of_the_replacement(books: str):
    first = scenario.staged(books, FIRST_PERIOD)
    second = disturbances.opened(books)
    with pytest.raises(BatchStateError):
        scenario.failing_gates(books, first)
    disturbances.stage_opened(books, second)
    assert scenario.failing_gates(books, second) == {}


def test_a_batch_that_another_close_has_replaced_is_not_posted(ready: Ready, alone: Facts):
    books, batch = ready
    second = disturbances.opened(books)
    with pytest.raises(BatchStateError, match="PROCESSING"):
        scenario.post(books, batch)
    assert has_nothing(books)
    disturbances.stage_opened(books, second)
    assert scenario.failing_gates(books, second) == {}
    assert scenario.post(books, second)
    take_balances(books)
    assert facts(books) == alone


# Stager against poster


def test_who_opens_a_batch_waits_for_the_poster_and_finds_nothing_to_do(ready: Ready, pool: ThreadPoolExecutor):
    books, batch = ready
    with held(books, AT_THE_END):
        posting = pool.submit(scenario.post, books, batch)
        waiting_backend(books)
        opening = pool.submit(scenario.opened, books, FIRST_PERIOD)
        waiting_backend(books, 2)
    assert posting.result()
    assert opening.result()[0] is None


def test_who_posts_waits_for_the_stager_and_is_refused(ready: Ready, pool: ThreadPoolExecutor):
    books, batch = ready
    with held(books, AT_THE_END):
        opening = pool.submit(scenario.opened, books, FIRST_PERIOD)
        waiting_backend(books)
        posting = pool.submit(scenario.post, books, batch)
        waiting_backend(books, 2)
    assert opening.result()[0] is not None
    with pytest.raises(BatchStateError, match="PROCESSING"):
        posting.result()
    assert has_nothing(books)


# Loaders


def test_a_load_that_arrives_while_its_month_is_posted_makes_the_next_batch(
    ready: Ready, tmp_path: Path, pool: ThreadPoolExecutor
):
    books, batch = ready
    with held(books, AT_THE_SEAL):
        posting = pool.submit(scenario.post, books, batch)
        waiting_backend(books)
        late = scenario.deliver(books, FIRST_PERIOD, folder=tmp_path, rows=5, seed=2)  # without waiting
    assert posting.result()
    assert late.accepted_count == 5
    assert disturbances.close(books)
    with connect(books) as connection:
        ranges = connection.execute(
            "SELECT batch_id, first_je_number, last_je_number FROM control.sequence_reservation_log ORDER BY 2"
        ).fetchall()
    assert ranges == [("2024-01-MONTHEND", 1, ROWS), ("2024-01-MONTHEND-02", ROWS + 1, ROWS + 5)]


def test_a_load_that_arrives_while_its_month_is_staged_is_left_for_the_next_batch(
    books: str, tmp_path: Path, pool: ThreadPoolExecutor
):
    batch = disturbances.opened(books)
    with held(books, "LOCK TABLE control.batch_checkpoint IN SHARE MODE"):
        staging = pool.submit(disturbances.stage_opened, books, batch)
        waiting_backend(books, 2)
        scenario.deliver(books, FIRST_PERIOD, folder=tmp_path, rows=5, seed=2)
    staging.result()
    assert scenario.failing_gates(books, batch) == {}
    assert scenario.post(books, batch)
    assert disturbances.close(books)


def test_two_overlapping_files_at_once_store_each_transaction_once(
    books: str, tmp_path: Path, pool: ThreadPoolExecutor
):
    """All begin with the same rows, which are there already."""
    folders = [tmp_path / "some", tmp_path / "more"]
    for folder in folders:
        folder.mkdir()
    loading = [
        pool.submit(scenario.deliver, books, FIRST_PERIOD, folder=folder, rows=rows)
        for folder, rows in zip(folders, (ROWS + 10, ROWS + 20), strict=True)
    ]
    loads = [load.result() for load in loading]
    assert [load.row_count for load in loads] == [ROWS + 10, ROWS + 20]
    assert all(load.accepted_count + load.unchanged_count == load.row_count for load in loads)
    with connect(books) as connection:
        stored = connection.execute("SELECT count(*), count(DISTINCT txn_id) FROM source.txn_source").fetchone()
    assert stored == (ROWS + 20, ROWS + 20)


def test_a_withdrawal_under_way_stops_the_posting_of_its_rows(ready: Ready, pool: ThreadPoolExecutor):
    books, batch = ready
    with contextlib.closing(connect(books)) as withdrawing:
        with withdrawing.transaction():
            withdraw(withdrawing, 1, reason="wrong file", by="tester")
            posting = pool.submit(scenario.post, books, batch)
            waiting_backend(books)
        with pytest.raises((GateFailed, psycopg.errors.UndefinedTable)):
            posting.result()
    assert has_nothing(books)


def test_a_withdrawal_waits_for_the_posting_and_is_refused(ready: Ready, pool: ThreadPoolExecutor):
    books, batch = ready

    def withdrawal() -> None:
        with connect(books) as connection:
            withdraw(connection, 1, reason="wrong file", by="tester")

    with held(books, AT_THE_END):
        posting = pool.submit(scenario.post, books, batch)
        waiting_backend(books)
        withdrawing = pool.submit(withdrawal)
        waiting_backend(books, 2)
    assert posting.result()
    with pytest.raises(LoadRefusedError, match="has posted it"):
        withdrawing.result()


# Tamperers

LINE_LEAF: Final = "staging.je_line_2024_01_monthend_a1_w002"
HEADER_LEAF: Final = "staging.je_header_2024_01_monthend_a1_w002"
TAMPERINGS: Final[Mapping[str, LiteralString]] = {
    "lines": f"UPDATE {LINE_LEAF} SET amount = amount * 2",
    "lines, through the parent": "UPDATE staging.je_line SET amount = amount * 2 WHERE je_number = 30",
    "a header": f"UPDATE {HEADER_LEAF} SET source_id = 'TXN-FORGED' WHERE je_number = 30",
    "headers, through the parent": "UPDATE staging.je_header SET source_id = 'TXN-FORGED' WHERE je_number = 30",
    "an entry gone": f"DELETE FROM {LINE_LEAF} WHERE je_number = 30",
    "all gone": f"TRUNCATE {LINE_LEAF}",
    "all gone, through the parent": "TRUNCATE staging.je_line",
    "the source": "UPDATE source.txn_source_2024_01_load_1 SET policy_id = 'POL-FORGED' WHERE row_number = 3",
    "the source, through the month": "UPDATE source.txn_source_2024_01 SET policy_id = 'X' WHERE row_number = 3",
    "the source, through the root": "UPDATE source.txn_source SET channel = 'X' WHERE row_number = 3",
    "a transaction gone": "DELETE FROM source.txn_source WHERE row_number = 3",
    "the source gone": "TRUNCATE source.txn_source",
}


REFUSALS: Final = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.InvalidTransactionState,
    psycopg.errors.SerializationFailure,
    psycopg.errors.UndefinedTable,  # posted: the leaf is in another schema now
)


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_change_under_way_that_is_taken_back_only_delays_the_posting(
    ready: Ready, pool: ThreadPoolExecutor, tampering: str
):
    books, batch = ready
    with held(books, TAMPERINGS[tampering]):
        posting = pool.submit(scenario.post, books, batch)
        waiting_backend(books)
    assert posting.result()


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_change_under_way_that_is_committed_is_not_posted(ready: Ready, pool: ThreadPoolExecutor, tampering: str):
    books, batch = ready
    with contextlib.closing(connect(superuser(books))) as tamperer:
        tamperer.execute(TAMPERINGS[tampering])
        posting = pool.submit(scenario.post, books, batch)
        waiting_backend(books)
        tamperer.commit()
        with pytest.raises(GateFailed):
            posting.result()
    assert has_nothing(books)


IN_MID_STATEMENT: Final[Mapping[str, LiteralString]] = {
    "lines": f"UPDATE {LINE_LEAF} SET amount = amount * 2 FROM pg_advisory_xact_lock(7)",
    "a header": f"UPDATE {HEADER_LEAF} SET source_id = 'TXN-FORGED' FROM pg_advisory_xact_lock(7) WHERE je_number = 30",
    "the source": "UPDATE source.txn_source SET channel = 'X' FROM pg_advisory_xact_lock(7) WHERE row_number = 3",
}


@pytest.mark.parametrize("tampering", IN_MID_STATEMENT)
def test_a_change_in_the_middle_of_its_statement_is_waited_for_and_not_posted(
    ready: Ready, pool: ThreadPoolExecutor, tampering: str
):
    """Its trigger has not told of it yet."""
    books, batch = ready
    with contextlib.closing(connect(superuser(books), autocommit=True)) as tamperer:
        with held(books, "SELECT pg_advisory_xact_lock(7)"):
            change = pool.submit(tamperer.execute, IN_MID_STATEMENT[tampering])
            waiting_backend(books)
            posting = pool.submit(scenario.post, books, batch)
            waiting_backend(books, 2)
        assert change.result().rowcount > 0
    with pytest.raises(GateFailed):
        posting.result()
    assert has_nothing(books)


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_change_that_comes_while_the_batch_is_posted_changes_nothing(
    ready: Ready, alone: Facts, pool: ThreadPoolExecutor, tampering: str, isolation: LiteralString
):
    """It waits for the posting, and is then refused or finds no row."""
    books, batch = ready
    source = source_rows(books)
    with contextlib.closing(connect(superuser(books))) as tamperer:
        tamperer.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
        tamperer.execute("SELECT FROM control.batch")  # from here on a REPEATABLE READ sees what is now
        with held(books, AT_THE_END):
            posting = pool.submit(scenario.post, books, batch)
            waiting_backend(books)
            change = pool.submit(tamper, tamperer, TAMPERINGS[tampering])
            waiting_backend(books, 2)
        assert posting.result()
        change.result()
    take_balances(books)
    assert facts(books) == alone
    assert source_rows(books) == source


def tamper(tamperer: psycopg.Connection, statement: LiteralString) -> None:
    """Change and commit, or be refused."""
    with contextlib.suppress(*REFUSALS):
        tamperer.execute(statement)
        tamperer.commit()


def source_rows(url: str) -> list[tuple[Any, ...]]:
    with connect(url) as connection:
        return connection.execute("SELECT * FROM source.txn_source ORDER BY txn_id").fetchall()


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_change_from_an_old_snapshot_is_refused_or_noticed(books: str, tampering: str, isolation: LiteralString):
    """COPY FREEZE shows it rows of which its snapshot does not know whose they are."""
    with contextlib.closing(connect(superuser(books))) as tamperer:
        tamperer.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
        tamperer.execute("SELECT FROM control.batch")
        batch = ready_to_post(books)
        try:
            tamperer.execute(TAMPERINGS[tampering])
            tamperer.commit()
        except REFUSALS:
            assert scenario.post(books, batch)
        else:
            with pytest.raises(GateFailed):
                scenario.post(books, batch)


# Readers

VIEWS: Final[tuple[LiteralString, ...]] = (
    "staging.je_header_staging", "staging.je_line_staging", "ledger.ledger_entry_header", "ledger.ledger_entry_line",
    "ledger.entry_origin", "ledger.account_line",
)  # fmt: skip


def visible(reader: psycopg.Connection, *views: LiteralString) -> list[int]:
    """Rows that each view shows to a reader in the midst of his transaction."""
    return [row[0] for view in views for row in reader.execute(f"SELECT count(*) FROM {view}").fetchall()]


@contextlib.contextmanager
def reading(url: str, isolation: psycopg.IsolationLevel) -> Iterator[psycopg.Connection]:
    """A reader whose transaction has begun."""
    with contextlib.closing(connect(url)) as reader:
        reader.isolation_level = isolation
        reader.execute("SELECT count(*) FROM ledger.ledger_entry_line")
        yield reader


def test_a_transaction_from_before_the_posting_sees_nothing_of_it_and_a_new_one_everything(books: str, alone: Facts):
    lines = len(alone["lines"])
    snapshot = psycopg.IsolationLevel.REPEATABLE_READ
    with reading(books, snapshot) as before_staging:
        batch = ready_to_post(books)
        with reading(books, snapshot) as before_posting:
            with connect(books) as reader:
                assert visible(reader, *VIEWS) == [ROWS, lines, 0, 0, 0, 0]
            assert scenario.post(books, batch)
            for reader in (before_staging, before_posting):
                assert visible(reader, *VIEWS) == [0] * 6  # what has left the staging has left it for everybody
    with connect(books) as reader:
        assert visible(reader, *VIEWS) == [0, 0, ROWS, lines, ROWS, lines]


def test_staged_rows_do_not_appear_to_a_transaction_from_before(books: str):
    with reading(books, psycopg.IsolationLevel.REPEATABLE_READ) as reader:
        ready_to_post(books)
        assert visible(reader, *VIEWS) == [0] * 6


@pytest.mark.parametrize("isolation", psycopg.IsolationLevel)
def test_readers_of_the_ledger_hold_up_no_posting(ready: Ready, alone: Facts, isolation: psycopg.IsolationLevel):
    books, batch = ready
    with reading(books, isolation):
        assert scenario.post(books, batch)
        take_balances(books)
    assert facts(books) == alone


def test_who_has_read_staged_rows_holds_up_the_posting_until_his_transaction_ends(
    ready: Ready, alone: Facts, pool: ThreadPoolExecutor
):
    """He keeps his rows, readers of the ledger are not held up, and the posting is what it would have been."""
    books, batch = ready
    staged = [ROWS, len(alone["lines"])]
    with reading(books, psycopg.IsolationLevel.READ_COMMITTED) as reader:
        assert visible(reader, *VIEWS[:2]) == staged
        posting = pool.submit(scenario.post, books, batch)
        waiting_backend(books)
        assert visible(reader, *VIEWS) == [*staged, 0, 0, 0, 0]
        with connect(books) as another:
            assert visible(another, *VIEWS[2:]) == [0] * 4
        assert not posting.done()
    assert posting.result()
    take_balances(books)
    assert facts(books) == alone


def test_a_statement_that_is_planned_across_a_posting_sees_all_of_it_or_nothing(
    neighbours: Neighbours, pool: ThreadPoolExecutor
):
    """PostgreSQL plans the headers, waits, the next month is posted, it plans the lines: they would have the month, the
    headers not.
    """
    url = neighbours.url

    def look() -> list[int]:
        with connect(url) as reader:
            both = reader.execute(
                "SELECT (SELECT count(*) FROM ledger.ledger_entry_header), "
                "(SELECT count(DISTINCT (period, je_number)) FROM ledger.ledger_entry_line)"
            ).fetchone()
        return list(both or ())

    with held(url, "LOCK TABLE ledger.je_line_2024_01_monthend_a1_w001 IN ACCESS EXCLUSIVE MODE"):
        seen = pool.submit(look)
        waiting_backend(url)
        assert scenario.post(url, neighbours.following)
    assert seen.result() in ([ROWS, ROWS], [2 * ROWS, 2 * ROWS])
    assert look() == [2 * ROWS, 2 * ROWS]


def test_a_prepared_statement_sees_what_was_posted_since_it_was_planned(ready: Ready, alone: Facts):
    """What it knew of the posted batches when it was planned goes with the plan."""
    books, batch = ready
    query = "SELECT count(*) FROM ledger.ledger_entry_line WHERE period = %s"
    with connect(books, autocommit=True) as reader:
        reader.execute("SET plan_cache_mode = force_generic_plan")
        before = [reader.execute(query, [FIRST_PERIOD], prepare=True).fetchone() for _ in range(3)]
        assert scenario.post(books, batch)
        assert [*before, reader.execute(query, [FIRST_PERIOD], prepare=True).fetchone()] == [(0,)] * 3 + [
            (len(alone["lines"]),)
        ]


ALL_AT_ONCE: Final[Mapping[psycopg.IsolationLevel, LiteralString]] = {
    # A statement in READ COMMITTED may see the batch a moment before its entries.
    psycopg.IsolationLevel.READ_COMMITTED: "SELECT (SELECT count(*) FROM ledger.ledger_entry_header), "
    "(SELECT count(*) FROM ledger.ledger_entry_line)",
    psycopg.IsolationLevel.REPEATABLE_READ: "SELECT (SELECT count(*) FROM ledger.ledger_entry_header), "
    "(SELECT count(*) FROM ledger.ledger_entry_line), (SELECT count(*) FROM control.load_batch), "
    "(SELECT count(*) FROM ledger.fund_balance), (SELECT count(*) FROM control.sequence_reservation_log)",
}

LOOKS: Final = 200
"""In one snapshot, until the attached leaves are known: the poster may be off the processor in that moment."""


@pytest.mark.parametrize("isolation", ALL_AT_ONCE)
def test_a_reader_who_looks_all_the_time_never_sees_a_part(
    books: str, alone: Facts, pool: ThreadPoolExecutor, isolation: psycopg.IsolationLevel
):
    """Whoever looks between a commit and the news of its attached leaves finds the batch without its entries, and finds
    them when it looks again, in the same snapshot (docs/faults.md).
    """
    whole = (ROWS, len(alone["lines"]), 1, len(alone["fund_balances"]), 1)
    width = len(ALL_AT_ONCE[isolation].split("count(*)")) - 1
    consistent = {(0,) * width, whole[:width]}
    seen: set[tuple[Any, ...]] = set()
    closing = pool.submit(disturbances.close, books)
    with connect(books) as reader:
        reader.isolation_level = isolation
        while not closing.done():
            looks = (reader.execute(ALL_AT_ONCE[isolation]).fetchone() or () for _ in range(LOOKS))
            seen.add(next((look for look in looks if look in consistent), ()))
            reader.rollback()
    assert closing.result()
    assert seen <= consistent


# Neighbours


IN_THE_MIDDLE_OF_LATE: Final = (
    "SELECT FROM control.batch_source_count WHERE batch_id = '2024-01-MONTHEND-02' FOR UPDATE"
)
"""Stops the posting of the late batch alone."""


def assert_chained(url: str) -> None:
    """Every closed month opens with what its predecessor, closed too, ended with."""
    with connect(url) as connection:
        broken = connection.execute(
            "SELECT p.period, s.account_code, s.opening_balance, o.closing_balance, o.status "
            "FROM control.period p JOIN ledger.account_balance_snapshot s USING (period) "
            "LEFT JOIN (SELECT * FROM ledger.account_balance_snapshot JOIN control.period USING (period)) AS o "
            "ON o.period = control.previous_period(p.period) AND o.account_code = s.account_code "
            "WHERE p.status = 'CLOSED' AND p.period > %s "
            "AND (o.status IS DISTINCT FROM 'CLOSED' OR o.closing_balance IS DISTINCT FROM s.opening_balance)",
            [FIRST_PERIOD],
        ).fetchall()
    assert broken == []


def test_a_month_is_not_posted_while_the_one_before_is_being_reopened(neighbours: Neighbours, pool: ThreadPoolExecutor):
    url = neighbours.url
    with held(url, IN_THE_MIDDLE_OF_LATE):
        late = pool.submit(scenario.post, url, neighbours.late)
        waiting_backend(url)
        following = pool.submit(scenario.post, url, neighbours.following)
        waiting_backend(url, 2)
    assert late.result()
    with pytest.raises(PreflightFailed, match="waits for 2024-01"):
        following.result()
    take_balances(url)
    assert scenario.post(url, neighbours.following)
    take_balances(url, SECOND)
    assert_chained(url)


def test_a_month_takes_nothing_more_while_the_next_is_being_closed_on_it(
    books: str, tmp_path: Path, pool: ThreadPoolExecutor
):
    disturbances.close(books)
    assert scenario.post(books, ready_to_post(books, SECOND))
    with held(books, "LOCK TABLE ledger.account_balance_snapshot IN SHARE MODE"):
        closing = pool.submit(take_balances, books, SECOND)
        waiting_backend(books)
        scenario.deliver(books, FIRST_PERIOD, folder=tmp_path, rows=5, seed=2)
        late = pool.submit(scenario.opened, books, FIRST_PERIOD)
        waiting_backend(books, 2)
    closing.result()
    with pytest.raises(PreflightFailed, match="2024-02 is closed"):
        late.result()
    assert_chained(books)


def test_a_month_is_not_reopened_before_the_next_has_closed_on_it(books: str, pool: ThreadPoolExecutor):
    disturbances.close(books)
    assert scenario.post(books, ready_to_post(books, SECOND))
    with held(books, "LOCK TABLE ledger.account_balance_snapshot IN SHARE MODE"):
        closing = pool.submit(take_balances, books, SECOND)
        waiting_backend(books)
        reopening = pool.submit(reopen_first, books)
        waiting_backend(books, 2)
    closing.result()
    with pytest.raises(BuiltUpon, match=r"later months build on it \(2024-02\)"):
        reopening.result()
    assert_chained(books)


def test_a_month_does_not_close_on_one_that_is_being_reopened(books: str, pool: ThreadPoolExecutor):
    disturbances.close(books)
    following = ready_to_post(books, SECOND)
    with held(books, "LOCK TABLE ledger.period_reopening IN SHARE MODE"):
        reopening = pool.submit(reopen_first, books)
        waiting_backend(books)
        posting = pool.submit(scenario.post, books, following)
        waiting_backend(books, 2)
    assert reopening.result() == [FIRST_PERIOD]
    with pytest.raises(PreflightFailed, match="waits for 2024-01"):
        posting.result()
    take_balances(books)
    assert scenario.post(books, following)
    take_balances(books, SECOND)
    assert_chained(books)


def reopen_first(url: str) -> list[str]:
    with connect(batch_admin(url)) as connection:
        return periods.reopen(connection, FIRST_PERIOD, reason="an invoice was missing", performed_by="controller")


def test_a_load_that_arrives_between_posting_and_balances_keeps_the_month_open(books: str, tmp_path: Path):
    assert scenario.post(books, ready_to_post(books))
    scenario.deliver(books, FIRST_PERIOD, folder=tmp_path, rows=5, seed=2)
    with pytest.raises(PreflightFailed, match=r"cannot be closed yet: load 2 \(.*, 5 rows in no posted batch"):
        take_balances(books)
    assert scenario.value_of(books, "SELECT status FROM control.period") == "CLOSING"
    assert disturbances.close(books)
    assert scenario.value_of(books, "SELECT status FROM control.period") == "CLOSED"


def test_a_month_is_not_closed_while_the_one_before_is_being_reopened(neighbours: Neighbours, pool: ThreadPoolExecutor):
    url = neighbours.url
    assert scenario.post(url, neighbours.following)
    with held(url, IN_THE_MIDDLE_OF_LATE):
        late = pool.submit(scenario.post, url, neighbours.late)
        waiting_backend(url)
        closing = pool.submit(take_balances, url, SECOND)
        waiting_backend(url, 2)
    assert late.result()
    with pytest.raises(PreflightFailed, match="waits for 2024-01"):
        closing.result()
    take_balances(url)
    take_balances(url, SECOND)
    assert_chained(url)
