"""Corrections that meet others at work: posters, readers, a second correction, a kill in the middle."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.storage.batches import BatchStateError, BuiltUpon, GateFailed, PreflightFailed
from ledger_assets.storage.corrections import BooksInUse
from ledger_assets.storage.database import connect
from ledger_assets_tests.disturbances import facts, held, ready_to_post, waiting_backend
from ledger_assets_tests.scenario import ACTOR, close_directly, deliver, execute, fingerprint, post, rows_of, value_of
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import SECOND_PERIOD as FEBRUARY
from ledger_assets_tests.test_reversal import MARCH, reversed_
from ledger_assets_tests.test_rollback import MONTHEND, NEXT, aborted, balances_and_entries, rolled_back
from ledger_assets_tests.waiting import PATIENCE

AT_THE_END: Final = "LOCK TABLE audit.batch_operation IN SHARE MODE"
"""Stops a rollback or a posting when everything but the record of it is done."""
AT_THE_SECOND_LEAF: Final = "LOCK TABLE ledger.je_line_2024_02_monthend_a1_w001 IN ACCESS SHARE MODE"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def march_ready(url: str, folder: Path) -> Any:
    deliver(url, MARCH, folder=folder)
    return ready_to_post(url, MARCH)


def test_a_rollback_waits_for_the_posting_of_the_next_month_and_is_refused(
    closed_url: str, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    batch = march_ready(closed_url, tmp_path)
    with held(closed_url, AT_THE_END):
        posting = pool.submit(post, closed_url, batch)
        waiting_backend(closed_url)
        rollback = pool.submit(rolled_back, closed_url, NEXT)
        waiting_backend(closed_url, 2)
    assert posting.result()
    with pytest.raises(BuiltUpon, match=batch.batch_id):
        rollback.result()


def test_a_posting_waits_for_the_rollback_of_the_month_before_and_is_refused(
    closed_url: str, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    batch = march_ready(closed_url, tmp_path)
    with held(closed_url, AT_THE_END):
        rollback = pool.submit(rolled_back, closed_url, NEXT)
        waiting_backend(closed_url)
        posting = pool.submit(post, closed_url, batch)
        waiting_backend(closed_url, 2)
    assert [effect.batch_id for effect in rollback.result()] == [NEXT]
    with pytest.raises(PreflightFailed, match="2024-02, which is not closed"):
        posting.result()


@pytest.mark.parametrize("rollback_comes_first", [True, False])
def test_a_rollback_and_a_late_posting_of_its_month_come_one_after_the_other(
    closed_url: str, pool: ThreadPoolExecutor, tmp_path: Path, rollback_comes_first: bool
) -> None:
    deliver(closed_url, FEBRUARY, folder=tmp_path, rows=4, seed=9)
    late = ready_to_post(closed_url, FEBRUARY)
    with held(closed_url, AT_THE_END):
        work = [lambda: rolled_back(closed_url, NEXT), lambda: post(closed_url, late)]
        first, second = work if rollback_comes_first else reversed(work)
        one = pool.submit(first)
        waiting_backend(closed_url)
        two = pool.submit(second)
        waiting_backend(closed_url, 2)
    assert one.result()
    with pytest.raises(GateFailed if rollback_comes_first else BuiltUpon):
        two.result()


def test_two_rollbacks_of_a_batch_take_it_out_once(closed_url: str, pool: ThreadPoolExecutor) -> None:
    with held(closed_url, AT_THE_END):
        first = pool.submit(rolled_back, closed_url, NEXT)
        waiting_backend(closed_url)
        second = pool.submit(rolled_back, closed_url, NEXT)
        waiting_backend(closed_url, 2)
    assert len(first.result()) == 1
    with pytest.raises(BatchStateError, match="it is ROLLED_BACK"):
        second.result()
    outcomes = "SELECT outcome FROM audit.batch_operation WHERE operation = 'ROLLBACK' ORDER BY operation_id"
    assert [row["outcome"] for row in rows_of(closed_url, outcomes)] == ["SUCCESS", "FAILED"]


def test_a_close_that_begins_while_the_month_is_taken_back_posts_it_again(
    closed_url: str, pool: ThreadPoolExecutor
) -> None:
    before = balances_and_entries(closed_url)["je_line"].split(",")[0]
    with held(closed_url, AT_THE_END):
        rollback = pool.submit(rolled_back, closed_url, NEXT)
        waiting_backend(closed_url)
        close = pool.submit(close_directly, closed_url, FEBRUARY)
        waiting_backend(closed_url, 2)
    assert rollback.result()
    assert close.result().outcome == "posted"
    assert balances_and_entries(closed_url)["je_line"].split(",")[0] == before


def test_readers_of_other_months_do_not_wait_for_a_rollback(closed_url: str, pool: ThreadPoolExecutor) -> None:
    count = "SELECT count(*) FROM ledger.ledger_entry_line WHERE period = %s"
    with held(closed_url, AT_THE_END):
        rollback = pool.submit(rolled_back, closed_url, NEXT)
        waiting_backend(closed_url)
        assert value_of(closed_url, count, JANUARY) > 0
        reader = pool.submit(value_of, closed_url, count, FEBRUARY)
        waiting_backend(closed_url, 2)
    assert rollback.result()
    assert reader.result() == 0


def test_a_rollback_gives_up_on_a_reader_who_does_not_end(closed_url: str) -> None:
    patience = "ALTER FUNCTION ledger.roll_back_chain(text, text, text, text, boolean) SET lock_timeout = '{}'"
    execute(closed_url, patience.format("50ms"))
    before = fingerprint(closed_url)
    with contextlib.closing(connect(closed_url)) as reader:
        reader.execute("SELECT count(*) FROM ledger.ledger_entry_line WHERE period = '2024-02'")
        with pytest.raises(BooksInUse, match="try again"):
            rolled_back(closed_url, NEXT)
    assert fingerprint(closed_url) == before
    execute(closed_url, patience.format("10s"))  # the reader's backend needs a moment to end
    assert rolled_back(closed_url, NEXT)


def test_a_reader_who_looks_all_the_time_never_sees_half_a_rollback(closed_url: str, pool: ThreadPoolExecutor) -> None:
    look = """SELECT (SELECT count(*) FROM ledger.ledger_entry_header WHERE period = '2024-02'),
                     (SELECT count(*) FROM ledger.ledger_entry_line WHERE period = '2024-02'),
                     (SELECT count(*) FROM ledger.fund_balance WHERE period = '2024-02')"""
    with connect(closed_url) as connection:
        (whole,) = connection.execute(look).fetchall()
    seen: set[tuple[int, ...]] = set()
    with contextlib.closing(connect(closed_url, autocommit=True)) as reader:
        rollback = pool.submit(rolled_back, closed_url, NEXT)
        while not rollback.done():
            seen.update(reader.execute(look).fetchall())
        rollback.result()
        seen.update(reader.execute(look).fetchall())
    assert seen <= {whole, (0, 0, 0)}


@pytest.mark.parametrize("where", [AT_THE_SECOND_LEAF, AT_THE_END])
def test_a_rollback_that_is_killed_leaves_everything_and_can_be_repeated(
    closed_url: str, pool: ThreadPoolExecutor, where: str
) -> None:
    before, books = fingerprint(closed_url), facts(closed_url)
    with held(closed_url, where):  # type: ignore[arg-type]
        rollback = pool.submit(rolled_back, closed_url, MONTHEND, chain=True)
        backend = waiting_backend(closed_url)
        execute(closed_url, f"SELECT pg_terminate_backend({backend}, {1000 * PATIENCE})")  # and wait until it is gone
    with pytest.raises(psycopg.OperationalError):
        rollback.result()
    assert fingerprint(closed_url) == before
    assert facts(closed_url) == books
    assert [effect.batch_id for effect in rolled_back(closed_url, MONTHEND, chain=True)] == [NEXT, MONTHEND]


def test_an_abort_waits_for_the_worker_that_writes_and_the_run_ends_failed(
    closed_url: str, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    deliver(closed_url, MARCH, folder=tmp_path)
    from ledger_assets_tests import scenario  # noqa: PLC0415

    batch, rules = scenario.opened(closed_url, MARCH)
    assert batch is not None
    with held(closed_url, "LOCK TABLE control.batch_checkpoint IN SHARE MODE"):  # a worker's last step
        staging = pool.submit(scenario.stage, closed_url, batch, rules.compiled(), performed_by=ACTOR)
        waiting_backend(closed_url, 2)
        abort = pool.submit(aborted, closed_url, batch.batch_id, "the wrong file")
        waiting_backend(closed_url, 3)
    assert abort.result()
    with pytest.raises((LedgerError, psycopg.Error, RuntimeError), match=f"was aborted by {ACTOR}: the wrong file"):
        staging.result()
    state = rows_of(closed_url, "SELECT state, failure_reason FROM control.batch WHERE batch_id = %s", batch.batch_id)
    assert state == [{"state": "ABORTED", "failure_reason": "the wrong file"}]
    assert scenario.staged_tables(closed_url) == []


def test_an_abort_waits_for_the_posting_and_is_refused(
    closed_url: str, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    batch = march_ready(closed_url, tmp_path)
    with held(closed_url, AT_THE_END):
        posting = pool.submit(post, closed_url, batch)
        waiting_backend(closed_url)
        abort = pool.submit(aborted, closed_url, batch.batch_id)
        waiting_backend(closed_url, 2)
    assert posting.result()
    with pytest.raises(BatchStateError, match="it is COMMITTED"):
        abort.result()


def test_two_reversals_at_once_post_one(closed_url: str, pool: ThreadPoolExecutor) -> None:
    def attempt(_: int) -> str:
        try:
            return reversed_(closed_url).batch_id
        except (LedgerError, psycopg.errors.ObjectNotInPrerequisiteState, RuntimeError) as refusal:
            return str(refusal)

    list(pool.map(attempt, range(2)))
    standing = "SELECT count(*) FROM control.batch WHERE kind = 'REVERSAL' AND state = 'COMMITTED'"
    assert value_of(closed_url, standing) == 1
    assert value_of(closed_url, "SELECT count(*) FROM ledger.ledger_entry_header WHERE period = %s", MARCH) == 60


def test_a_batch_that_is_rolled_back_while_its_reversal_is_staged_is_not_reversed(
    closed_url: str, pool: ThreadPoolExecutor
) -> None:
    with held(closed_url, "LOCK TABLE control.batch_checkpoint IN SHARE MODE"):
        reversal = pool.submit(reversed_, closed_url, NEXT)
        waiting_backend(closed_url)
        assert rolled_back(closed_url, NEXT)
    with pytest.raises(LedgerError):
        reversal.result()
    assert value_of(closed_url, "SELECT count(*) FROM ledger.ledger_entry_header WHERE period >= %s", FEBRUARY) == 0
