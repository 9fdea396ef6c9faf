"""The client that meets a fault: psycopg, counting what it exchanges with the server, and one fault at one of the
exchanges. It runs in a process of its own; the product knows nothing of it.
"""

import logging
import os
import random
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

import psycopg
from psycopg.conninfo import make_conninfo

from ledger_assets.storage import database
from ledger_assets.storage.database import connect, in_transaction
from ledger_assets.storage.discreet import DiscreetConnection
from ledger_assets_tests.torture import servers

STATEMENTS: Final = {
    path.read_text(encoding="utf-8"): f"{path.parent.name}/{path.stem}"
    for path in Path(__file__).resolve().parents[2].glob("sql/*/*.sql")
}
NAMES_OF_EXCHANGES: Final = {"_enter_gen": "BEGIN", "_exit_gen": "end of a block", "_commit_gen": "COMMIT"}
# Exchanges that change nothing, or nothing more than the COPY that they belong to.
READS: Final = re.compile(
    "acct/(acc|rule_|templates|matches|lines|overrides|products|version|.*_overview)|COPY$|_read_|copy_to|BEGIN"
    "|source/(find|has|read|book|lo|meas|unpr|tot|open_rej|first)|snapshot/(bal|last|trial|result)"
    "|control/(batch|claim|latest|is_written|worker_slices|workers|.*_totals|open_exceptions|exceptions|gates|months|refuse)"
    "|control/(reversed|expected)|ledger/(fund|posted|read|totals)|reporting/|staging/(sample|offending|require)|seal/"
    "|certificate/(?!hold|record)|period/(?!lock|reopen)|audit/(trail|last)|derivation/|SET |SELECT|_set_|_prepare"
    "|_maintain|TRUNCATE pg_temp"
)
END_OF_READING: Final = "SELECT was all"  # a transaction that wrote nothing
ENDS_A_TRANSACTION: Final = re.compile("COMMIT|end of a block")
TAKES_TIME: Final = re.compile(
    "control/(open_|measure|pass_batch)|staging/|ledger/|snapshot/|source/finish_load|period/"
)


class Point(NamedTuple):
    """The exchange with the server at which a fault strikes, the first, second … of its kind, and the moment: `before`
    it is sent, `sent` and not answered, `after` it was answered, `unheard` = done, and the answer got lost.
    """

    exchange: str
    occurrence: int
    moment: str


def points(exchanges: Sequence[str], moments: Sequence[str]) -> Iterator[Point]:
    """Every place at which a run may be disturbed: around each exchange that writes.

    After one exchange is before the next, so `after` is worth trying only where a transaction ends; and the server is
    caught in the middle of a statement only where that takes time.
    """
    for place, exchange in enumerate(exchanges):
        if READS.match(exchange):
            continue
        ends, takes_time = ENDS_A_TRANSACTION.match(exchange), TAKES_TIME.match(exchange)
        worth_trying = {"before": True, "sent": ends or takes_time, "after": ends, "unheard": ends}
        occurrence = exchanges[: place + 1].count(exchange)
        yield from (Point(exchange, occurrence, moment) for moment in moments if worth_trying[moment])


class DisturbedConnection(DiscreetConnection):
    """The product's connection, which notes what it exchanges with the server, and meets a fault."""

    point: ClassVar[Point | None] = None
    strike: ClassVar[Callable[[psycopg.Connection[Any]], None]]
    seen: ClassVar[list[str]] = []
    hesitate: ClassVar[Callable[[], None]] = lambda: None
    _noting: ClassVar[threading.Lock] = threading.Lock()
    statement: str | None = None
    has_written = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_factory = DisturbedCursor

    def wait(self, gen: Any, *arguments: Any) -> Any:
        """Every exchange passes here: statements, rows of a COPY, BEGIN and COMMIT."""
        exchange = self.statement or NAMES_OF_EXCHANGES.get(gen.__name__, gen.__name__)
        self.statement = None
        if not ENDS_A_TRANSACTION.match(exchange):
            self.has_written = not READS.match(exchange) or self.has_written
        elif not self.has_written:
            exchange = END_OF_READING
        if exchange == "COMMIT":
            self.has_written = False
        type(self).hesitate()
        with self._noting:
            self.seen.append(exchange)
            met = self.point is not None and self.point[:2] == (exchange, self.seen.count(exchange))
        if not met:
            return super().wait(gen, *arguments)
        return self._struck(gen, *arguments)

    def _struck(self, gen: Any, *arguments: Any) -> Any:
        strike, moment = type(self).strike, self.point.moment if self.point else ""
        if moment == "before":
            strike(self)
            return super().wait(gen, *arguments)
        if moment == "sent":
            if not self.autocommit and self.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
                super().wait(self._exec_command(b"BEGIN"))  # psycopg would send that first, and wait for it
            try:
                ready = next(gen)
            except StopIteration as answered:
                strike(self)
                return answered.value
            strike(self)
            return super().wait(_resumed(gen, ready), *arguments)
        answer = super().wait(gen, *arguments)
        strike(self)
        if moment == "unheard":
            self.pgconn.finish()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return answer


def _resumed(gen: Any, ready: Any) -> Any:
    """The rest of a generator whose first item was taken."""
    answer = yield ready
    while True:
        try:
            answer = yield gen.send(answer)
        except StopIteration as finished:
            return finished.value


class DisturbedCursor(psycopg.Cursor[Any]):
    """Tells its connection the name of the statement."""

    def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
        self.connection.statement = name_of(query)
        return super().execute(query, *arguments, **options)

    def copy(self, statement: Any, *arguments: Any, **options: Any) -> Any:
        self.connection.statement = name_of(statement)
        return super().copy(statement, *arguments, **options)


def name_of(query: Any) -> str:
    """The file of a statement; for one that is put together, how it begins."""
    text = query if isinstance(query, str) else query.decode() if isinstance(query, bytes) else query.as_string()
    beginning = re.sub(r"_a\d+_w\d+|\(.*|\s+", " ", re.sub(r"--.*\n", "", text), flags=re.DOTALL)
    return STATEMENTS.get(text, beginning[:60].strip())


def disturb(point: Point | None, strike: Callable[[psycopg.Connection[Any]], None] = lambda _: None) -> None:
    """Let every connection of this process be a disturbed one."""
    DisturbedConnection.point, DisturbedConnection.strike, DisturbedConnection.seen = point, staticmethod(strike), []
    database.DiscreetConnection = DisturbedConnection


def note(actions: Sequence[Callable[[str, Path], object]], url: str, folder: Path, report: Connection) -> None:
    """The body of a child: do it undisturbed, and report what was exchanged with the server."""
    disturb(None)
    for action in actions:
        action(url, folder)
    report.send(DisturbedConnection.seen)


# ------------------------------------------------------------------------------------------------ faults


def die(_home: Path, _connection: psycopg.Connection[Any]) -> None:
    """As the machine's memory killer does, or the loss of power."""
    os.kill(os.getpid(), signal.SIGKILL)


def lose_backend(_home: Path, connection: psycopg.Connection[Any]) -> None:
    """An administrator ends the session."""
    mine = make_conninfo(connection.info.dsn, password=connection.info.password or None, options="")
    with psycopg.Connection.connect(mine, autocommit=True) as administrator:
        administrator.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])


def lose_socket(_home: Path, connection: psycopg.Connection[Any]) -> None:
    """The network goes; the server does not know yet."""
    with socket.socket(fileno=os.dup(connection.pgconn.socket)) as wire:
        wire.shutdown(socket.SHUT_RDWR)


def lose_answer(_home: Path, _connection: psycopg.Connection[Any]) -> None:
    """Nothing more than what the moment `unheard` does."""


def time_out(_home: Path, connection: psycopg.Connection[Any]) -> None:
    """The statement takes longer than the server allows: refused by PostgreSQL itself, in its transaction."""
    if connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
        psycopg.Connection.wait(connection, connection._exec_command(b"BEGIN"))
    for command in (b"SET LOCAL statement_timeout = 1", b"SELECT pg_sleep(10)"):
        psycopg.Connection.wait(connection, connection._exec_command(command))


def interrupt(_home: Path, _connection: psycopg.Connection[Any]) -> None:
    """Ctrl-C, which is also how Dagster cancels a run."""
    os.kill(os.getpid(), signal.SIGINT)


def terminate(_home: Path, _connection: psycopg.Connection[Any]) -> None:
    """As `kill`, a service manager and the stop of a container do."""
    os.kill(os.getpid(), signal.SIGTERM)


def crash_and_restart(home: Path, _connection: psycopg.Connection[Any]) -> None:
    """Immediate shutdown, and up again at once."""
    servers.crash(home)
    servers.start(home)


def crash_and_restart_late(home: Path, _connection: psycopg.Connection[Any]) -> None:
    """Immediate shutdown, and up again after two seconds."""
    servers.crash(home)
    threading.Thread(target=lambda: (time.sleep(2), servers.start(home))).start()


def crash(home: Path, _connection: psycopg.Connection[Any]) -> None:
    """Immediate shutdown, and nobody starts the server again."""
    servers.crash(home)


def fill_the_disk(home: Path, _connection: psycopg.Connection[Any]) -> None:
    servers.fill(home)


def jump(seconds: int, home: Path, _connection: psycopg.Connection[Any]) -> None:
    """The clock is set: the server's, and the client's as far as Python code asks for it."""
    servers.set_clock(home, seconds)
    unmoved = time.time
    time.time = lambda: unmoved() + seconds


DAY: Final = 86_400

Strike = Callable[[Path, psycopg.Connection[Any]], None]
"""What happens to a connection; the home of the server in case that it happens to the server."""


def run(
    action: Callable[[str, Path], object],
    url: str,
    folder: Path,
    point: Point | None,
    strike: Strike,
    home: Path,
    report: Connection,
    *,
    patient: bool,
) -> None:
    """The body of a child: the action, by a client that meets the fault. Reports `struck`, and how it ended."""

    def struck(connection: psycopg.Connection[Any]) -> None:
        report.send("struck")
        strike(home, connection)

    disturb(point, struck)
    if not patient:  # waiting for a server that is there, or that nobody starts, would only take time
        for function in (connect, in_transaction):
            function.retry.sleep = lambda seconds: time.sleep(seconds / 50)  # type: ignore[attr-defined]
    _act(action, url, folder, report)


def run_hesitating(
    action: Callable[[str, Path], object], url: str, folder: Path, seed: int, report: Connection
) -> None:
    """The body of a child that pauses where the dice say so, so that several children meet everywhere."""
    dice = random.Random(seed)
    disturb(None)
    DisturbedConnection.hesitate = staticmethod(lambda: time.sleep(dice.choice((0, 0, 0, 0.003, 0.02))))
    _act(action, url, folder, report)


def _act(action: Callable[[str, Path], object], url: str, folder: Path, report: Connection) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    logging.disable()
    try:
        action(url, folder)
        report.send("done")
    except BaseException as fault:  # noqa: BLE001 (it is what is asked for)
        report.send(f"{type(fault).__name__}: {fault}")
