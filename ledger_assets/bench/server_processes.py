"""The processes of a PostgreSQL server, seen from outside: CPU seconds and memory, where it runs on this machine."""

from datetime import datetime
from pathlib import Path
from typing import Self

import psutil
import psycopg

from ledger_assets.storage.database import statement

_CLOCK_TOLERANCE_S = 2.0


class ServerProcesses:
    """The postmaster and all that it started."""

    def __init__(self, postmaster: psutil.Process) -> None:
        self._postmaster = postmaster

    @classmethod
    def of(cls, connection: psycopg.Connection) -> Self | None:
        """Those of the server behind a connection; None when it is on another machine or in another container."""
        row = connection.execute(statement("bench/backend")).fetchone()
        if row is None:
            return None
        pid, started_at = row
        backend = _process(pid, started_at)
        postmaster = backend.parent() if backend else None
        return None if postmaster is None else cls(postmaster)

    def cpu_seconds(self) -> float:
        """User and system time of all processes since they began, those that have ended included."""
        own = self._postmaster.cpu_times()
        seconds = own.user + own.system + own.children_user + own.children_system
        for pid in self._children():
            try:
                times = psutil.Process(pid).cpu_times()
            except psutil.Error:  # ended: its time is among the postmaster's children now, or will be in a moment
                continue
            seconds += times.user + times.system
        return float(seconds)

    def private_memory(self) -> int | None:
        """Bytes that belong to one process alone, added up: sorts, hashes, caches; not shared_buffers. Cheap to ask.

        None where the system does not tell (only Linux does).
        """
        return self._added_up("status", "RssAnon:")

    def proportional_memory(self) -> int | None:
        """Bytes that all processes take together, what they share counted once (PSS).

        Asking walks through their page tables, some milliseconds to a tenth of a second each. None where the system
        does not tell, or this account may not look.
        """
        return self._added_up("smaps_rollup", "Pss:")

    def _added_up(self, file: str, field: str) -> int | None:
        found = [_kilobytes(pid, file, field) for pid in (self._postmaster.pid, *self._children())]
        known = [kilobytes for kilobytes in found if kilobytes is not None]
        return sum(known) * 1024 if known else None

    def _children(self) -> list[int]:
        """Numbers of the postmaster's children; it has no grandchildren."""
        pid = self._postmaster.pid
        try:  # Linux tells at once; psutil would look through every process of the machine
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except OSError:
            pass
        try:
            return [child.pid for child in self._postmaster.children()]
        except psutil.Error:
            return []


def _process(pid: int, started_at: datetime) -> psutil.Process | None:
    """The process, if the one that has this number here began when PostgreSQL says that the backend did."""
    try:
        process = psutil.Process(pid)
        is_it = abs(process.create_time() - started_at.timestamp()) < _CLOCK_TOLERANCE_S
    except psutil.Error:
        return None
    return process if is_it and process.name().startswith("postgres") else None


def _kilobytes(pid: int, file: str, field: str) -> int | None:
    """None for a process that has ended, or that may not be looked into."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeError):
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(field)), None)
