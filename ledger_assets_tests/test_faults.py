"""Kill whoever takes part in a close, at every instruction that counts: the books have all of it or none, and closing
again gives the books of a run that nobody disturbed.

The client is killed at every exchange with the server that ingesting and closing a small month takes: before it is
sent, when it is sent and not answered, and after the last one. A posting is also stopped in the middle of its one
statement, by a lock on what it writes next, and then its backend, its client or the whole server goes.
"""

import contextlib
import multiprocessing
import os
import re
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, ClassVar, Final, LiteralString, NamedTuple, Self

import psutil
import psycopg
import pytest
from psycopg import sql

from ledger_assets.storage.database import connect, create_database, database_name, with_database
from ledger_assets.storage.migrations import migrate
from ledger_assets.storage.server import EmbeddedServer
from ledger_assets_tests import disturbances, scenario
from ledger_assets_tests.conftest import make_home
from ledger_assets_tests.disturbances import Facts, cloned, held, ready_to_post, waiting_backend
from ledger_assets_tests.scenario import FIRST_PERIOD

pytestmark = pytest.mark.slow

STATEMENTS: Final = {
    path.read_text(encoding="utf-8"): f"{path.parent.name}/{path.stem}"
    for path in Path(__file__).resolve().parents[1].glob("sql/*/*.sql")
}
# Exchanges that change nothing, or nothing more than the COPY that they belong to.
READS: Final = re.compile(
    "acct/|COPY$|_read_gen|copy_to|BEGIN|source/(find|has|read|table|book)"
    "|control/(batch|latest|worker_slices|.*_totals|open_exceptions)"
)
ENDS_A_TRANSACTION: Final = re.compile("COMMIT|end of a block|control/start_worker")
TAKES_TIME: Final = re.compile("control/(open_batch|measure|set_batch)|staging/|ledger/|snapshot/|source/close_load")
NAMES_OF_EXCHANGES: Final = {"_enter_gen": "BEGIN", "_exit_gen": "end of a block", "_commit_gen": "COMMIT"}


# The books before, and the books of a run that nobody disturbed


class Undisturbed(NamedTuple):
    """What the books say when nothing happens, and what a client exchanges with the server on the way there."""

    posted: Facts
    closed: Facts
    loads: list[tuple[Any, ...]]
    ingesting: Sequence[str]
    closing: Sequence[str]

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
def empty_books(test_server_url: str, template_database: str) -> Iterator[str]:
    """The name of a database that has the rules and nothing else."""
    with cloned(test_server_url, template_database) as url:
        scenario.store_rules(url)
        yield database_name(url)


@pytest.fixture(scope="module")
def loaded_books(test_server_url: str, empty_books: str, delivery: Path) -> Iterator[str]:
    """The name of a database in which the month is loaded."""
    with cloned(test_server_url, empty_books) as url:
        scenario.load(url, delivery, FIRST_PERIOD)
        yield database_name(url)


@pytest.fixture(scope="module")
def undisturbed(test_server_url: str, empty_books: str, delivery: Path) -> Undisturbed:
    """The run itself, by the client that can be killed."""
    with cloned(test_server_url, empty_books) as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg, "connect", doomed(None))
        scenario.load(url, delivery, FIRST_PERIOD)
        ingesting = DoomedConnection.seen
        patch.setattr(psycopg, "connect", doomed(None))
        disturbances.close(url)
        closing = DoomedConnection.seen
        patch.undo()
        return Undisturbed(
            disturbances.posted_facts(url), disturbances.closed_facts(url), loads(url), ingesting, closing
        )


# A client that kills itself


class Doom(NamedTuple):
    """The exchange with the server at which the client dies, the first, second ... of its kind, and the moment."""

    exchange: str
    occurrence: int
    moment: str

    @classmethod
    def all_of(cls, exchanges: Sequence[str]) -> Iterator[Self]:
        """Before and after everything that writes (after = before the next one, but for what ends a transaction), and
        between sending a statement and its answer."""
        for place, exchange in enumerate(exchanges):
            if not READS.match(exchange):
                occurrence = exchanges[: place + 1].count(exchange)
                ends = ENDS_A_TRANSACTION.match(exchange)
                yield cls(exchange, occurrence, "before")
                if ends or TAKES_TIME.match(exchange):
                    yield cls(exchange, occurrence, "sent")
                if ends:
                    yield cls(exchange, occurrence, "after")


def loads(url: str) -> list[tuple[Any, ...]]:
    """What a reader sees of the loads: what is recorded, and what can be read."""
    with connect(url) as connection:
        return connection.execute(
            "SELECT l.file_sha256, l.row_count, l.accepted_count, l.checksum, l.leaf IS NOT NULL, "
            "count(t.txn_id), sum(source.txn_hash(t)), (SELECT count(*) FROM source.load_total) "
            "FROM source.load l FULL JOIN source.txn_source t USING (load_id) GROUP BY l.load_id"
        ).fetchall()


class DoomedConnection(psycopg.Connection[Any]):
    """A connection that notes what it exchanges with the server, and may die of it."""

    doom: ClassVar[Doom | None] = None
    seen: ClassVar[list[str]] = []
    _noting: ClassVar[threading.Lock] = threading.Lock()
    statement: str | None = None

    def wait(self, gen: Any, *arguments: Any) -> Any:
        """Every exchange passes here: statements, rows of a COPY, BEGIN and COMMIT."""
        exchange = self.statement or NAMES_OF_EXCHANGES.get(gen.__name__, gen.__name__)
        self.statement = None
        with self._noting:
            self.seen.append(exchange)
            met = self.doom is not None and self.doom[:2] == (exchange, self.seen.count(exchange))
        if not met:
            return super().wait(gen, *arguments)
        if self.doom.moment == "sent":
            if not self.autocommit and self.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
                super().wait(self._exec_command(b"BEGIN"))  # psycopg would send that first, and wait for it
            with contextlib.suppress(StopIteration):
                next(gen)
        elif self.doom.moment == "after":
            super().wait(gen, *arguments)
        return os.kill(os.getpid(), signal.SIGKILL)


class DoomedCursor(psycopg.Cursor[Any]):
    """Tells its connection the name of the statement."""

    def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
        self.connection.statement = name_of(query)
        return super().execute(query, *arguments, **options)

    def copy(self, statement: Any, *arguments: Any, **options: Any) -> Any:
        self.connection.statement = name_of(statement)
        return super().copy(statement, *arguments, **options)


def name_of(query: str | sql.Composed) -> str:
    """The file of a statement; for one that is put together, how it begins."""
    text = query if isinstance(query, str) else query.as_string()
    beginning = re.sub(r"_a\d+_w\d+|\(.*|\s+", " ", re.sub(r"--.*\n", "", text), flags=re.DOTALL)
    return STATEMENTS.get(text, beginning[:60].strip())


def doomed(doom: Doom | None) -> Callable[..., psycopg.Connection]:
    """What to put in the place of `psycopg.connect`."""
    DoomedConnection.doom, DoomedConnection.seen = doom, []
    return partial(DoomedConnection.connect, cursor_factory=DoomedCursor)


def run_doomed(doom: Doom, action: Callable[..., object], *arguments: object) -> None:
    """The body of a process: an action of the close, by a client that dies on the way."""
    psycopg.connect = doomed(doom)
    action(*arguments)


def process(action: Callable[..., object], *arguments: object) -> BaseProcess:
    """An action in a process of its own, forked from one that has imported everything, which takes 0.1 s."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    started = context.Process(target=action, args=arguments)
    started.start()
    return started


def kill(doom: Doom, action: Callable[..., object], *arguments: object) -> None:
    """Run an action by a client that dies on the way."""
    client = process(run_doomed, doom, action, *arguments)
    client.join()
    assert client.exitcode == -signal.SIGKILL, f"{doom} was not met"


@pytest.mark.parametrize("share", range(2))
def test_a_client_killed_while_it_ingests(
    test_server_url: str, empty_books: str, delivery: Path, undisturbed: Undisturbed, share: int
):
    for doom in list(Doom.all_of(undisturbed.ingesting))[share::2]:
        with cloned(test_server_url, empty_books) as url:
            kill(doom, scenario.load, url, delivery, FIRST_PERIOD)
            assert loads(url) in ([], undisturbed.loads), doom
            scenario.load(url, delivery, FIRST_PERIOD)
            assert loads(url) == undisturbed.loads, doom


@pytest.mark.parametrize("share", range(6))
def test_a_client_killed_while_it_closes(test_server_url: str, loaded_books: str, undisturbed: Undisturbed, share: int):
    for doom in list(Doom.all_of(undisturbed.closing))[share::6]:
        with cloned(test_server_url, loaded_books) as url:
            kill(doom, disturbances.close, url)
            undisturbed.assert_all_or_nothing(url, doom)
            disturbances.close(url)
            undisturbed.assert_reached(url, doom)


def test_every_step_of_the_close_is_among_the_places_of_death(undisturbed: Undisturbed):
    places = Counter(doom.exchange for doom in Doom.all_of([*undisturbed.ingesting, *undisturbed.closing]))
    for step in (
        "source/open_load", "source/create_leaf", "source/finish_load", "control/open_batch", "control/start_worker",
        "staging/create_leaves",
        "staging/finish_worker", "staging/finish_batch", "control/measure_worker", "control/measure_load",
        "control/record_verdict", "control/pass_batch", "ledger/post_batch", "snapshot/take_snapshot", "COMMIT",
    ):  # fmt: skip
        assert places[step], step
    assert places["staging/finish_worker"] == 2 * places["ledger/post_batch"] + 2


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
def test_a_backend_terminated_in_the_middle_of_posting(
    test_server_url: str, loaded_books: str, undisturbed: Undisturbed, stop: str
):
    with cloned(test_server_url, loaded_books) as url, ThreadPoolExecutor(1) as pool:
        batch = ready_to_post(url)
        with held(url, STOPS[stop]):
            posting = pool.submit(scenario.post, url, batch)
            terminate(url, waiting_backend(url))
            with pytest.raises(psycopg.OperationalError):
                posting.result()
            undisturbed.assert_nothing(url, stop)
        disturbances.close(url)
        undisturbed.assert_reached(url, stop)


@pytest.mark.parametrize("stop", STOPS)
def test_a_client_killed_in_the_middle_of_posting(
    test_server_url: str, loaded_books: str, undisturbed: Undisturbed, stop: str
):
    with cloned(test_server_url, loaded_books) as url:
        batch = ready_to_post(url)
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
def test_a_backend_terminated_while_it_stages(
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
            with pytest.raises(psycopg.OperationalError):
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


CRASHES: Final = [shut_down_immediately, kill_all_processes]


@pytest.mark.parametrize("crash", CRASHES)
def test_the_server_crashes_while_a_month_is_staged(
    own_server: EmbeddedServer, undisturbed: Undisturbed, crash: Callable[[EmbeddedServer], None]
):
    with cloned(own_server.ensure_running(), "loaded") as url, ThreadPoolExecutor(1) as pool:
        batch = disturbances.opened(url)
        with held(url, "LOCK TABLE control.batch_checkpoint IN SHARE MODE"):
            staging = pool.submit(disturbances.stage_opened, url, batch)
            waiting_backend(url)
            crash(own_server)
        own_server.ensure_running()
        with pytest.raises(psycopg.OperationalError):
            staging.result()
        undisturbed.assert_nothing(url, crash)
        disturbances.close(url)
        undisturbed.assert_reached(url, crash)


@pytest.mark.parametrize("crash", CRASHES)
@pytest.mark.parametrize("stop", ["attaching", "the audit trail"])
def test_the_server_crashes_while_a_month_is_posted(
    own_server: EmbeddedServer, undisturbed: Undisturbed, crash: Callable[[EmbeddedServer], None], stop: str
):
    """What was staged before the crash is there after it, and can be posted as it is."""
    with cloned(own_server.ensure_running(), "loaded") as url, ThreadPoolExecutor(1) as pool:
        batch = ready_to_post(url)
        with held(url, STOPS[stop]):
            posting = pool.submit(scenario.post, url, batch)
            waiting_backend(url)
            crash(own_server)
            with pytest.raises(psycopg.OperationalError):
                posting.result()
        own_server.ensure_running()
        undisturbed.assert_nothing(url, crash)
        assert scenario.post(url, batch)
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
