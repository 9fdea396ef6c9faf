"""Several at work on the same books at once: committers, stagers, loaders, tamperers, readers.

Each meeting is arranged, not hoped for: a lock stops one of them at a chosen place until the other has come, and has
done or waits for what the test is about.
"""

import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg
import pytest

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.source_errors import LoadRefusedError
from ledger_assets.storage.batches import BatchStateError, GateFailed, PreflightFailed
from ledger_assets.storage.database import connect, database_name
from ledger_assets.storage.source_loads import withdraw
from ledger_assets_tests import small_close
from ledger_assets_tests.small_close import FIRST, Facts, cloned, held, waiting_backend

SECOND: Final = "2024-02"
AT_THE_END: Final = "LOCK TABLE audit.batch_operation IN SHARE MODE"
"""Stops a posting, or whatever else moves a batch's state, when everything but that is done."""


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A month of twenty transactions, which three workers journal."""
    return small_close.month_file(tmp_path_factory.mktemp("delivery"), FIRST)


@pytest.fixture(scope="module")
def loaded_books(test_server_url: str, template_database: str, delivery: Path) -> Iterator[str]:
    """The name of a database that has the rules, and the month loaded."""
    with cloned(test_server_url, template_database) as url:
        small_close.store_rules(url)
        small_close.deliver(url, delivery, FIRST)
        yield database_name(url)


@pytest.fixture
def books(test_server_url: str, loaded_books: str) -> Iterator[str]:
    """The URL of such a database of the test's own."""
    with cloned(test_server_url, loaded_books) as url:
        yield url


@pytest.fixture(scope="module")
def alone(test_server_url: str, loaded_books: str) -> Facts:
    """What the books say when one close runs alone."""
    with cloned(test_server_url, loaded_books) as url:
        small_close.close(url)
        return small_close.facts(url)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def has_nothing(url: str) -> bool:
    return not any(small_close.facts(url).values())


# Two committers


def test_two_committers_of_a_batch_post_it_once(books: str, alone: Facts, pool: ThreadPoolExecutor):
    batch = small_close.ready_to_post(books)
    with held(books, AT_THE_END):
        first = pool.submit(small_close.post, books, batch.batch_id)
        waiting_backend(books)
        second = pool.submit(small_close.post, books, batch.batch_id)
        waiting_backend(books, 2)
    assert (first.result(), second.result()) == (True, False)
    small_close.snapshot(books, FIRST)
    assert small_close.facts(books) == alone


def test_a_committer_waits_for_one_who_fails_and_posts_in_his_stead(books: str, alone: Facts, pool: ThreadPoolExecutor):
    batch = small_close.ready_to_post(books)
    with held(books, AT_THE_END):
        first = pool.submit(small_close.post, books, batch.batch_id)
        backend = waiting_backend(books)
        second = pool.submit(small_close.post, books, batch.batch_id)
        waiting_backend(books, 2)
        with connect(books) as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", [backend])
        with pytest.raises(psycopg.OperationalError):
            first.result()
    assert second.result()
    small_close.snapshot(books, FIRST)
    assert small_close.facts(books) == alone


# Two closes


@pytest.mark.parametrize("round_", range(6))
def test_closes_of_a_month_at_once_post_it_once(books: str, alone: Facts, pool: ThreadPoolExecutor, round_: int):
    closes = [pool.submit(close_or_yield, books) for _ in range(2 + round_ % 2)]
    outcomes = [close.result() for close in closes]
    assert outcomes.count(True) == 1, outcomes
    small_close.snapshot(books, FIRST)
    assert small_close.facts(books) == alone
    with connect(books) as connection:
        assert small_close.staged_leaves(connection) == []


def close_or_yield(url: str) -> bool | str:
    """Close; what refuses somebody whose batch another close has replaced is the answer, everything else is raised."""
    try:
        return small_close.close(url)
    except (LedgerError, psycopg.errors.ObjectNotInPrerequisiteState, RuntimeError, AssertionError) as refusal:
        return f"{type(refusal).__name__}: {refusal}"


def test_a_close_that_begins_while_another_stages_takes_over(books: str, alone: Facts, pool: ThreadPoolExecutor):
    """The worker that was writing then does so for nobody: nothing of it may be left."""
    first = small_close.open_month(books, FIRST)
    assert first is not None
    with held(books, "LOCK TABLE control.batch_checkpoint IN SHARE MODE"):
        staging = pool.submit(small_close.stage_opened, books, first)
        waiting_backend(books, 2)
        second = pool.submit(small_close.close, books)
        waiting_backend(books, 3)
    with pytest.raises((psycopg.errors.ObjectNotInPrerequisiteState, RuntimeError)):
        staging.result()
    assert second.result()
    assert small_close.facts(books) == alone
    with connect(books) as connection:
        assert small_close.staged_leaves(connection) == []


def test_a_close_that_begins_while_another_is_in_its_gates_takes_over(
    books: str, alone: Facts, pool: ThreadPoolExecutor
):
    first = small_close.stage_month(books, FIRST)
    assert first is not None
    with held(books, "LOCK TABLE control.worker_measure IN SHARE MODE"):
        gates = pool.submit(small_close.gates_pass, books, first)
        waiting_backend(books, 2)
        second = pool.submit(small_close.stage_month, books, FIRST)
        waiting_backend(books, 3)
    with pytest.raises(BatchStateError):
        gates.result()
    replacement = second.result()
    assert replacement is not None
    assert replacement.attempt == first.attempt + 1
    assert small_close.gates_pass(books, replacement)
    assert small_close.post(books, replacement.batch_id)
    small_close.snapshot(books, FIRST)
    assert small_close.facts(books) == alone


def test_gates_of_a_batch_that_was_replaced_say_nothing_of_the_replacement(books: str):
    first = small_close.stage_month(books, FIRST)
    second = small_close.open_month(books, FIRST)
    assert first is not None
    assert second is not None
    with pytest.raises(BatchStateError):
        small_close.gates_pass(books, first)
    small_close.stage_opened(books, second)
    assert small_close.gates_pass(books, second)


def test_a_batch_that_another_close_has_replaced_is_not_posted(books: str, alone: Facts):
    batch = small_close.ready_to_post(books)
    second = small_close.open_month(books, FIRST)
    assert second is not None
    with pytest.raises(BatchStateError, match="PROCESSING"):
        small_close.post(books, batch.batch_id)
    assert has_nothing(books)
    small_close.stage_opened(books, second)
    assert small_close.gates_pass(books, second)
    assert small_close.post(books, second.batch_id)
    small_close.snapshot(books, FIRST)
    assert small_close.facts(books) == alone


# Stager against poster


def test_who_opens_a_batch_waits_for_the_poster_and_finds_nothing_to_do(books: str, pool: ThreadPoolExecutor):
    batch = small_close.ready_to_post(books)
    with held(books, AT_THE_END):
        posting = pool.submit(small_close.post, books, batch.batch_id)
        waiting_backend(books)
        opening = pool.submit(small_close.open_month, books, FIRST)
        waiting_backend(books, 2)
    assert posting.result()
    assert opening.result() is None


def test_who_posts_waits_for_the_stager_and_is_refused(books: str, pool: ThreadPoolExecutor):
    batch = small_close.ready_to_post(books)
    with held(books, AT_THE_END):
        opening = pool.submit(small_close.open_month, books, FIRST)
        waiting_backend(books)
        posting = pool.submit(small_close.post, books, batch.batch_id)
        waiting_backend(books, 2)
    assert opening.result() is not None
    with pytest.raises(BatchStateError, match="PROCESSING"):
        posting.result()
    assert has_nothing(books)


# Loaders


def test_a_load_that_arrives_while_its_month_is_posted_makes_the_next_batch(
    books: str, tmp_path: Path, pool: ThreadPoolExecutor
):
    batch = small_close.ready_to_post(books)
    late = small_close.month_file(tmp_path, FIRST, rows=5, seed=2)
    with held(books, AT_THE_END):
        posting = pool.submit(small_close.post, books, batch.batch_id)
        waiting_backend(books)
        assert small_close.deliver(books, late, FIRST).accepted_count == 5  # without waiting
    assert posting.result()
    assert small_close.close(books)
    with connect(books) as connection:
        ranges = connection.execute(
            "SELECT batch_id, first_je_number, last_je_number FROM control.sequence_reservation_log ORDER BY 2"
        ).fetchall()
    assert ranges == [("2024-01-MONTHEND", 1, 20), ("2024-01-MONTHEND-02", 21, 25)]


def test_a_load_that_arrives_while_its_month_is_staged_is_left_for_the_next_batch(
    books: str, tmp_path: Path, pool: ThreadPoolExecutor
):
    batch = small_close.open_month(books, FIRST)
    assert batch is not None
    with held(books, "LOCK TABLE control.batch_checkpoint IN SHARE MODE"):
        staging = pool.submit(small_close.stage_opened, books, batch)
        waiting_backend(books, 2)
        small_close.deliver(books, small_close.month_file(tmp_path, FIRST, rows=5, seed=2), FIRST)
    staging.result()
    assert small_close.gates_pass(books, batch)
    assert small_close.post(books, batch.batch_id)
    assert small_close.close(books)


def test_two_overlapping_files_at_once_store_each_transaction_once(
    books: str, tmp_path: Path, pool: ThreadPoolExecutor
):
    """The first twenty rows are those of the delivery."""
    files = [small_close.month_file(tmp_path, FIRST, rows=rows) for rows in (30, 40)]
    loads = [load.result() for load in [pool.submit(small_close.deliver, books, file, FIRST) for file in files]]
    assert [load.row_count for load in loads] == [30, 40]
    assert all(load.accepted_count + load.unchanged_count == load.row_count for load in loads)
    with connect(books) as connection:
        stored = connection.execute("SELECT count(*), count(DISTINCT txn_id) FROM source.txn_source").fetchone()
    assert stored == (40, 40)


def test_a_withdrawal_under_way_stops_the_posting_of_its_rows(books: str, pool: ThreadPoolExecutor):
    batch = small_close.ready_to_post(books)
    with contextlib.closing(connect(books)) as withdrawing:
        with withdrawing.transaction():
            withdraw(withdrawing, 1, reason="wrong file", by="tester")
            posting = pool.submit(small_close.post, books, batch.batch_id)
            waiting_backend(books)
        with pytest.raises((GateFailed, psycopg.errors.UndefinedTable)):
            posting.result()
    assert has_nothing(books)


def test_a_withdrawal_waits_for_the_posting_and_is_refused(books: str, pool: ThreadPoolExecutor):
    batch = small_close.ready_to_post(books)

    def withdrawal() -> None:
        with connect(books) as connection:
            withdraw(connection, 1, reason="wrong file", by="tester")

    with held(books, AT_THE_END):
        posting = pool.submit(small_close.post, books, batch.batch_id)
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
    "lines, through the parent": "UPDATE staging.je_line SET amount = amount * 2 WHERE je_number = 11",
    "a header": f"UPDATE {HEADER_LEAF} SET source_id = 'TXN-FORGED' WHERE je_number = 11",
    "headers, through the parent": "UPDATE staging.je_header SET source_id = 'TXN-FORGED' WHERE je_number = 11",
    "an entry gone": f"DELETE FROM {LINE_LEAF} WHERE je_number = 11",
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
    books: str, pool: ThreadPoolExecutor, tampering: str
):
    batch = small_close.ready_to_post(books)
    with held(books, TAMPERINGS[tampering]):
        posting = pool.submit(small_close.post, books, batch.batch_id)
        waiting_backend(books)
    assert posting.result()


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_change_under_way_that_is_committed_is_not_posted(books: str, pool: ThreadPoolExecutor, tampering: str):
    batch = small_close.ready_to_post(books)
    with contextlib.closing(connect(books)) as tamperer:
        tamperer.execute(TAMPERINGS[tampering])
        posting = pool.submit(small_close.post, books, batch.batch_id)
        waiting_backend(books)
        tamperer.commit()
        with pytest.raises(GateFailed):
            posting.result()
    assert has_nothing(books)


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_change_that_comes_while_the_batch_is_posted_changes_nothing(
    books: str, alone: Facts, pool: ThreadPoolExecutor, tampering: str, isolation: LiteralString
):
    """It waits for the posting, and is then refused or finds no row."""
    batch = small_close.ready_to_post(books)
    source = source_rows(books)
    with contextlib.closing(connect(books)) as tamperer:
        tamperer.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
        tamperer.execute("SELECT FROM control.batch")  # from here on a REPEATABLE READ sees what is now
        with held(books, AT_THE_END):
            posting = pool.submit(small_close.post, books, batch.batch_id)
            waiting_backend(books)
            change = pool.submit(tamper, tamperer, TAMPERINGS[tampering])
            waiting_backend(books, 2)
        assert posting.result()
        change.result()
    small_close.snapshot(books, FIRST)
    assert small_close.facts(books) == alone
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
    with contextlib.closing(connect(books)) as tamperer:
        tamperer.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
        tamperer.execute("SELECT FROM control.batch")
        batch = small_close.ready_to_post(books)
        try:
            tamperer.execute(TAMPERINGS[tampering])
            tamperer.commit()
        except REFUSALS:
            assert small_close.post(books, batch.batch_id)
        else:
            with pytest.raises(GateFailed):
                small_close.post(books, batch.batch_id)


# Readers

VIEWS: Final[tuple[LiteralString, ...]] = (
    "staging.je_header_staging", "staging.je_line_staging", "ledger.ledger_entry_header", "ledger.ledger_entry_line",
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
        batch = small_close.ready_to_post(books)
        with reading(books, snapshot) as before_posting:
            with connect(books) as reader:
                assert visible(reader, *VIEWS) == [20, lines, 0, 0]
            assert small_close.post(books, batch.batch_id)
            for reader in (before_staging, before_posting):
                assert visible(reader, *VIEWS) == [0, 0, 0, 0]  # what has left the staging has left it for everybody
    with connect(books) as reader:
        assert visible(reader, *VIEWS) == [0, 0, 20, lines]


def test_staged_rows_do_not_appear_to_a_transaction_from_before(books: str):
    with reading(books, psycopg.IsolationLevel.REPEATABLE_READ) as reader:
        small_close.ready_to_post(books)
        assert visible(reader, *VIEWS) == [0, 0, 0, 0]


@pytest.mark.parametrize("isolation", psycopg.IsolationLevel)
def test_readers_of_the_ledger_hold_up_no_posting(books: str, alone: Facts, isolation: psycopg.IsolationLevel):
    batch = small_close.ready_to_post(books)
    with reading(books, isolation):
        assert small_close.post(books, batch.batch_id)
        small_close.snapshot(books, FIRST)
    assert small_close.facts(books) == alone


def test_who_has_read_staged_rows_holds_up_the_posting_until_his_transaction_ends(
    books: str, alone: Facts, pool: ThreadPoolExecutor
):
    """He keeps his rows, readers of the ledger are not held up, and the posting is what it would have been."""
    batch = small_close.ready_to_post(books)
    staged = [20, len(alone["lines"])]
    with reading(books, psycopg.IsolationLevel.READ_COMMITTED) as reader:
        assert visible(reader, *VIEWS[:2]) == staged
        posting = pool.submit(small_close.post, books, batch.batch_id)
        waiting_backend(books)
        assert visible(reader, *VIEWS) == [*staged, 0, 0]
        with connect(books) as another:
            assert visible(another, *VIEWS[2:]) == [0, 0]
        assert not posting.done()
    assert posting.result()
    small_close.snapshot(books, FIRST)
    assert small_close.facts(books) == alone


def test_a_statement_that_is_planned_across_a_posting_sees_all_of_it_or_nothing(
    neighbours: str, pool: ThreadPoolExecutor
):
    """PostgreSQL plans the headers, waits, the next month is posted, it plans the lines: they would have the month, the
    headers not."""

    def look() -> list[int]:
        with connect(neighbours) as reader:
            both = reader.execute(
                "SELECT (SELECT count(*) FROM ledger.ledger_entry_header), "
                "(SELECT count(DISTINCT (period, je_number)) FROM ledger.ledger_entry_line)"
            ).fetchone()
        return list(both or ())

    with held(neighbours, "LOCK TABLE ledger.je_line_2024_01_monthend_a1_w001 IN ACCESS EXCLUSIVE MODE"):
        seen = pool.submit(look)
        waiting_backend(neighbours)
        assert small_close.post(neighbours, NEXT)
    assert seen.result() in ([20, 20], [40, 40])
    assert look() == [40, 40]


def test_a_prepared_statement_sees_what_was_posted_since_it_was_planned(books: str, alone: Facts):
    """What it knew of the posted batches when it was planned goes with the plan."""
    batch = small_close.ready_to_post(books)
    query = "SELECT count(*) FROM ledger.ledger_entry_line WHERE period = %s"
    with connect(books, autocommit=True) as reader:
        reader.execute("SET plan_cache_mode = force_generic_plan")
        before = [reader.execute(query, [FIRST], prepare=True).fetchone() for _ in range(3)]
        assert small_close.post(books, batch.batch_id)
        assert [*before, reader.execute(query, [FIRST], prepare=True).fetchone()] == [(0,)] * 3 + [
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


@pytest.mark.parametrize("isolation", ALL_AT_ONCE)
def test_a_reader_who_looks_all_the_time_never_sees_a_part(
    books: str, alone: Facts, pool: ThreadPoolExecutor, isolation: psycopg.IsolationLevel
):
    whole = (20, len(alone["lines"]), 1, len(alone["fund_balances"]), 1)
    width = len(ALL_AT_ONCE[isolation].split("count(*)")) - 1
    seen: set[tuple[Any, ...]] = set()
    closing = pool.submit(small_close.close, books)
    with connect(books) as reader:
        reader.isolation_level = isolation
        while not closing.done():
            seen.update(reader.execute(ALL_AT_ONCE[isolation]).fetchall())
            reader.rollback()
    assert closing.result()
    assert seen <= {(0,) * width, whole[:width]}


# Neighbours


@pytest.fixture
def neighbours(books: str, tmp_path: Path) -> str:
    """The first month closed, with a late load staged and through its gates; the second month likewise, for the first
    time."""
    small_close.close(books)
    small_close.deliver(books, small_close.month_file(tmp_path, FIRST, rows=5, seed=2), FIRST)
    small_close.deliver(books, small_close.month_file(tmp_path, SECOND), SECOND)
    for period in (FIRST, SECOND):
        small_close.ready_to_post(books, period)
    return books


LATE: Final = "2024-01-MONTHEND-02"
NEXT: Final = "2024-02-MONTHEND"


def in_the_middle_of(batch: str) -> LiteralString:
    """A lock that stops the posting of this batch alone."""
    return f"SELECT FROM control.batch_source_count WHERE batch_id = '{batch}' FOR UPDATE"  # type: ignore[return-value]


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
            [FIRST],
        ).fetchall()
    assert broken == []


def test_a_month_is_not_posted_while_the_one_before_is_being_reopened(neighbours: str, pool: ThreadPoolExecutor):
    with held(neighbours, in_the_middle_of(LATE)):
        late = pool.submit(small_close.post, neighbours, LATE)
        waiting_backend(neighbours)
        following = pool.submit(small_close.post, neighbours, NEXT)
        waiting_backend(neighbours, 2)
    assert late.result()
    with pytest.raises(PreflightFailed, match="waits for 2024-01"):
        following.result()
    small_close.snapshot(neighbours, FIRST)
    assert small_close.post(neighbours, NEXT)
    small_close.snapshot(neighbours, SECOND)
    assert_chained(neighbours)


def test_a_month_is_not_reopened_while_the_next_is_being_closed_on_it(neighbours: str, pool: ThreadPoolExecutor):
    assert small_close.post(neighbours, NEXT)
    with held(neighbours, "LOCK TABLE ledger.account_balance_snapshot IN SHARE MODE"):
        closing = pool.submit(small_close.snapshot, neighbours, SECOND)
        waiting_backend(neighbours)
        late = pool.submit(small_close.post, neighbours, LATE)
        waiting_backend(neighbours, 2)
    closing.result()
    with pytest.raises(PreflightFailed, match="2024-02 is closed"):
        late.result()
    assert_chained(neighbours)


def test_a_month_is_not_closed_while_the_one_before_is_being_reopened(neighbours: str, pool: ThreadPoolExecutor):
    assert small_close.post(neighbours, NEXT)
    with held(neighbours, in_the_middle_of(LATE)):
        late = pool.submit(small_close.post, neighbours, LATE)
        waiting_backend(neighbours)
        closing = pool.submit(small_close.snapshot, neighbours, SECOND)
        waiting_backend(neighbours, 2)
    assert late.result()
    with pytest.raises(PreflightFailed, match="waits for 2024-01"):
        closing.result()
    small_close.snapshot(neighbours, FIRST)
    small_close.snapshot(neighbours, SECOND)
    assert_chained(neighbours)
