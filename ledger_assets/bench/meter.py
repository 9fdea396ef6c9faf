"""What a step costs: seconds, CPU on both sides, WAL, memory at its highest, pages read."""

import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import psycopg

from ledger_assets.bench.server_processes import ServerProcesses
from ledger_assets.storage.database import connect, statement

MEBIBYTE = 1024 * 1024

_SECONDS_BETWEEN_LOOKS = 0.2
_SHARE_OF_TIME_FOR_PAGE_TABLES = 0.02
_OWN_PEAK = Path("/proc/self/status")
_FORGET_OWN_PEAK = Path("/proc/self/clear_refs")
_PATIENCE_S = 3.0

T = TypeVar("T")


@dataclass
class Cost:
    """Of one step. What cannot be known from here is None."""

    seconds: float
    client_cpu_s: float
    server_cpu_s: float | None
    wal_bytes: int
    client_peak_bytes: int
    page_reads: dict[str, float] = field(default_factory=dict)
    """For source, header and line: page requests during the step, for each page that the rows fill."""


class Meter:
    """Measures steps that are done one after the other on one database. Others at work on the server are counted in."""

    def __init__(self, administrator_url: str) -> None:
        self._probe = connect(administrator_url, autocommit=True, application_name="ledger-bench-probe")
        self._server = ServerProcesses.of(self._probe)
        self._reads: dict[str, int] = {}
        self._next_walk = 0.0
        self._looking_cpu_s = 0.0
        self.costs: dict[str, Cost] = {}
        self.private_peak: int | None = None
        self.proportional_peak: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._probe.close()

    def measure(self, step: str, work: Callable[[], T], session: psycopg.Connection) -> T:
        """Do the work and keep what it cost. `session` is the one connection that outlives the step."""
        self._await_others(session)
        self._page_reads()
        server_cpu, wal, client_cpu = self._server_cpu(), self._written_ahead(), time.process_time()
        forget_own_peak()
        with self._watching():
            started = time.perf_counter()
            result = work()
            seconds = time.perf_counter() - started
        cost = Cost(
            seconds=seconds,
            client_cpu_s=time.process_time() - client_cpu - self._looking_cpu_s,
            server_cpu_s=None,
            wal_bytes=self._written_ahead() - wal,
            client_peak_bytes=own_peak(),
        )
        self._await_others(session)
        if server_cpu is not None and (server_cpu_now := self._server_cpu()) is not None:
            cost.server_cpu_s = server_cpu_now - server_cpu
        cost.page_reads = self._page_reads()
        self.costs[step] = cost
        return result

    def cpu_seconds(self) -> float | None:
        """CPU time that this process and the server have used, ever; None for a server on another machine."""
        server = self._server_cpu()
        return None if server is None else time.process_time() + server

    def _server_cpu(self) -> float | None:
        return self._server.cpu_seconds() if self._server else None

    def _written_ahead(self) -> int:
        (position,) = self._probe.execute(statement("bench/written_ahead")).fetchone() or (0,)
        return int(position)

    def _await_others(self, session: psycopg.Connection) -> None:
        """Until the backends of the step are gone: what they have used and read is known in full only then."""
        session.execute("SELECT pg_stat_force_next_flush()")
        session.commit()
        known = [session.info.backend_pid, self._probe.info.backend_pid]
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            (others,) = self._probe.execute(statement("bench/others_connected"), {"known": known}).fetchone() or (0,)
            if not others:
                return
            time.sleep(0.01)

    def _page_reads(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for kind, reads, pages in self._probe.execute(statement("bench/page_reads")).fetchall():
            found[kind] = (reads - self._reads.get(kind, 0)) / max(pages, 1)
            self._reads[kind] = reads
        return found

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Look at the server's memory now and then; at page tables never so often that it slows the server down."""
        finished = threading.Event()

        def look(server: ServerProcesses) -> None:
            while True:
                self._look(server)
                self._looking_cpu_s = time.thread_time()
                if finished.wait(_SECONDS_BETWEEN_LOOKS):
                    return

        watcher = threading.Thread(target=look, args=[self._server], name="bench-watcher", daemon=True)
        if self._server:
            watcher.start()
        try:
            yield
        finally:
            finished.set()
            if self._server:
                watcher.join()

    def _look(self, server: ServerProcesses) -> None:
        self.private_peak = _larger(self.private_peak, server.private_memory())
        if (started := time.perf_counter()) >= self._next_walk:
            self.proportional_peak = _larger(self.proportional_peak, server.proportional_memory())
            walked = time.perf_counter()
            self._next_walk = walked + (walked - started) / _SHARE_OF_TIME_FOR_PAGE_TABLES


def _larger(one: int | None, other: int | None) -> int | None:
    return max((value for value in (one, other) if value is not None), default=None)


def forget_own_peak() -> None:
    """Begin a new highest point of this process's memory, where the system can (Linux)."""
    with suppress(OSError):
        _FORGET_OWN_PEAK.write_text("5")


def own_peak() -> int:
    """Bytes that this process had in memory at most, since it began or since `forget_own_peak`."""
    with suppress(OSError, StopIteration):
        lines = _OWN_PEAK.read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def figures(cost: Cost) -> dict[str, Any]:
    """A cost as the JSON has it."""
    return {
        "seconds": round(cost.seconds, 4),
        "client_cpu_s": round(cost.client_cpu_s, 3),
        "server_cpu_s": None if cost.server_cpu_s is None else round(cost.server_cpu_s, 3),
        "wal_bytes": cost.wal_bytes,
        "client_peak_mb": cost.client_peak_bytes // MEBIBYTE,
        "page_reads": {kind: round(reads, 3) for kind, reads in cost.page_reads.items()},
    }
