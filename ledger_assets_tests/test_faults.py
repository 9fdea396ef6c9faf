"""Stop a posting in the middle of its one statement, by a lock on what it writes next, and take away its backend, its
client or the whole server: the books have all of it or none, and what lost its connection is done again.

Faults between the statements, by the hundred, are in torture/.
"""

import contextlib
import multiprocessing
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final, LiteralString, NamedTuple

import psutil
import pytest
from psycopg import sql

from ledger_assets.storage.batches import Batch
from ledger_assets.storage.database import connect, create_database, in_transaction, with_database
from ledger_assets.storage.migrations import migrate
from ledger_assets.storage.server import EmbeddedServer
from ledger_assets_tests import disturbances, scenario
from ledger_assets_tests.conftest import make_home
from ledger_assets_tests.disturbances import Facts, cloned, held, ready_to_post, waiting_backend
from ledger_assets_tests.scenario import FIRST_PERIOD
from ledger_assets_tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

# The books before, and the books of a run that nobody disturbed


class Undisturbed(NamedTuple):
    """What the books say when nothing happens."""

    posted: Facts
    closed: Facts

    def assert_all_or_nothing(self, url: str, where: object) -> None:
        """What a reader sees now: nothing, the whole posting, or the whole posting with the balances."""
        posted, closed = disturbances.posted_facts(url), disturbances.closed_facts(url)
        nothing_posted: Facts = {name: [] for name in self.posted}
        nothing_closed: Facts = {name: [] for name in self.closed}
        assert posted in (nothing_posted, self.posted), f"half posted: {where}"
        assert closed in (nothing_closed, self.closed), f"half closed: {where}"
        assert posted == self.posted or closed == nothing_closed, f"closed without being posted: {where}"

    def assert_nothing(self, url: str, where: object) -> None:
        """What a reader sees now: nothing."""
        self.assert_all_or_nothing(url, where)
        assert not any(disturbances.posted_facts(url).values()), f"posted: {where}"

    def assert_reached(self, url: str, where: object) -> None:
        """The books are these, posted once, and nothing lies about."""
        assert disturbances.posted_facts(url) == self.posted, where
        assert disturbances.closed_facts(url) == self.closed, where
        assert scenario.staged_tables(url) == [], where


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A month that three workers journal."""
    return scenario.generated(tmp_path_factory.mktemp("delivery"), FIRST_PERIOD)


@pytest.fixture(scope="module")
def undisturbed(test_server_url: str, loaded_books: str) -> Undisturbed:
    with cloned(test_server_url, loaded_books) as url:
        disturbances.close(url)
        return Undisturbed(disturbances.posted_facts(url), disturbances.closed_facts(url))


def process(action: Callable[..., object], *arguments: object) -> BaseProcess:
    """An action in a process of its own, forked from one that has imported everything, which takes 0.1 s."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    started = context.Process(target=action, args=arguments)
    started.start()
    return started


# In the middle of one statement

STOPS: Final[Mapping[str, LiteralString]] = {
    "the period": "SELECT FROM control.period FOR UPDATE",
    "the source": "LOCK TABLE source.txn_source_2024_01_load_1 IN ROW EXCLUSIVE MODE",
    "the last worker's leaf": "LOCK TABLE staging.je_line_2024_01_monthend_a1_w003 IN ACCESS SHARE MODE",
    "attaching": "LOCK TABLE ledger.je_line_2024_01 IN SHARE UPDATE EXCLUSIVE MODE",
    "processed loads": "LOCK TABLE control.load_batch IN SHARE MODE",
    "the number range": "LOCK TABLE control.sequence_reservation_log IN SHARE MODE",
    "the counts": "LOCK TABLE control.batch_source_count IN SHARE MODE",
    "fund balances": "LOCK TABLE ledger.fund_balance IN SHARE MODE",
    "the audit trail": "LOCK TABLE audit.batch_operation IN SHARE MODE",
}
"""What stops a posting, in the order in which it comes there."""


def terminate(url: str, backend: int) -> None:
    """End a session as an administrator does."""
    with connect(url) as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", [backend])


@pytest.mark.parametrize("stop", STOPS)
def test_a_posting_survives_that_its_backend_is_terminated(
    test_server_url: str, ready_books: tuple[str, Batch], undisturbed: Undisturbed, stop: str
):
    with cloned(test_server_url, ready_books[0]) as url, ThreadPoolExecutor(1) as pool:
        batch = ready_books[1]
        with held(url, STOPS[stop]):
            posting = pool.submit(scenario.post, url, batch)
            terminate(url, waiting_backend(url))
            undisturbed.assert_nothing(url, stop)
        assert posting.result(), "posted at the second try"
        disturbances.take_balances(url)
        undisturbed.assert_reached(url, stop)


@pytest.mark.parametrize("stop", STOPS)
def test_a_client_killed_in_the_middle_of_posting(
    test_server_url: str, ready_books: tuple[str, Batch], undisturbed: Undisturbed, stop: str
):
    with cloned(test_server_url, ready_books[0]) as url:
        batch = ready_books[1]
        with held(url, STOPS[stop]) as let_go:
            client = process(scenario.post, url, batch)
            waiting_backend(url)
            client.kill()
            client.join()
            undisturbed.assert_nothing(url, stop)
            let_go()  # the backend goes on, and finds nobody to answer to
            disturbances.close(url)
        undisturbed.assert_reached(url, stop)


@pytest.mark.parametrize("written", ["control.batch_checkpoint", "control.batch_worker", "acct.chart_of_accounts"])
def test_staging_survives_that_a_backend_is_terminated(
    test_server_url: str, loaded_books: str, undisturbed: Undisturbed, written: str
):
    """In a worker's transaction; before one starts; and where nothing is written yet."""
    lock = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(*written.split(".")))
    with cloned(test_server_url, loaded_books) as url, ThreadPoolExecutor(1) as pool:
        batch = disturbances.opened(url)
        with held(url, lock) as let_go:
            staging = pool.submit(disturbances.stage_opened, url, batch)
            terminate(url, waiting_backend(url))
            let_go()
            staging.result()
        undisturbed.assert_nothing(url, written)
        disturbances.close(url)
        undisturbed.assert_reached(url, written)


# The whole server


@pytest.fixture(scope="module")
def own_server(delivery: Path) -> Iterator[EmbeddedServer]:
    """A server that may be crashed, with books in which the month is loaded, as durable as at home."""
    server = EmbeddedServer(Path(make_home()))
    url = server.ensure_running()
    try:
        with connect(url, autocommit=True) as connection:
            create_database(connection, "loaded")
        books = with_database(url, "loaded")
        migrate(books)
        scenario.store_rules(books)
        scenario.load(books, delivery, FIRST_PERIOD)
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.home, ignore_errors=True)


def shut_down_immediately(server: EmbeddedServer) -> None:
    """As `pg_ctl stop -m immediate` does: no checkpoint, nobody waited for."""
    assert server._site.run("pg_ctl", "stop", "-m", "immediate", "-w").returncode == 0


def kill_all_processes(server: EmbeddedServer) -> None:
    """As the machine's memory killer does, or the loss of power."""
    pid = server.status().pid
    assert pid is not None
    postmaster = psutil.Process(pid)
    for victim in [postmaster, *postmaster.children()]:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()


@pytest.fixture
def back(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when the server is back, for which clients wait however long it takes on this machine. That they wait for as
    long as they should without that is tried in torture/.
    """
    event = threading.Event()
    for function in (connect, in_transaction):
        monkeypatch.setattr(function.retry, "sleep", lambda _: event.wait(PATIENCE))  # type: ignore[attr-defined]
    return event


CRASHES: Final = [shut_down_immediately, kill_all_processes]


@pytest.mark.parametrize("crash", CRASHES)
def test_staging_survives_a_crash_of_the_server(
    own_server: EmbeddedServer, undisturbed: Undisturbed, crash: Callable[[EmbeddedServer], None], back: threading.Event
):
    with cloned(own_server.ensure_running(), "loaded") as url, ThreadPoolExecutor(1) as pool:
        batch = disturbances.opened(url)
        with held(url, "LOCK TABLE control.batch_checkpoint IN SHARE MODE"):
            staging = pool.submit(disturbances.stage_opened, url, batch)
            waiting_backend(url)
            crash(own_server)
        own_server.ensure_running()
        back.set()
        staging.result()
        undisturbed.assert_nothing(url, crash)
        disturbances.close(url)
        undisturbed.assert_reached(url, crash)


@pytest.mark.parametrize("crash", CRASHES)
@pytest.mark.parametrize("stop", ["attaching", "the audit trail"])
def test_a_posting_survives_a_crash_of_the_server(
    own_server: EmbeddedServer,
    undisturbed: Undisturbed,
    crash: Callable[[EmbeddedServer], None],
    back: threading.Event,
    stop: str,
):
    """What was staged before the crash is there after it, and is posted as it is when the server is back."""
    with cloned(own_server.ensure_running(), "loaded") as url, ThreadPoolExecutor(1) as pool:
        batch = ready_to_post(url)
        with held(url, STOPS[stop]):
            posting = pool.submit(scenario.post, url, batch)
            waiting_backend(url)
            crash(own_server)
        own_server.ensure_running()
        back.set()
        assert posting.result(), "posted at the second try"
        disturbances.take_balances(url)
        undisturbed.assert_reached(url, crash)


@pytest.mark.parametrize("crash", CRASHES)
def test_what_was_posted_before_a_crash_is_posted_after_it(
    own_server: EmbeddedServer, undisturbed: Undisturbed, crash: Callable[[EmbeddedServer], None]
):
    with cloned(own_server.ensure_running(), "loaded") as url:
        batch = ready_to_post(url)
        assert scenario.post(url, batch)
        crash(own_server)
        own_server.ensure_running()
        assert disturbances.posted_facts(url) == undisturbed.posted
        assert not disturbances.close(url)
        undisturbed.assert_reached(url, crash)
