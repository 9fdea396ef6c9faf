"""Servers of the campaign's own: they may be crashed, filled up, and live in another year.

A server is known by its home, so that a child process can do something to it without knowing more.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ledger_assets.storage.database import connect
from ledger_assets.storage.server import EmbeddedServer
from ledger_assets.storage.server_site import _binaries
from ledger_assets_tests.conftest import make_home
from ledger_assets_tests.waiting import PATIENCE

DISK_MEGABYTES = 320
BALLAST = "ballast"
OFFSET = "clock-offset"

CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Every clock that tells the date, moved by the seconds that a file holds; clocks that measure durations stay. */
static long offset(void) {
    char digits[32] = "";
    int file = open(getenv("CLOCK_OFFSET"), O_RDONLY);
    if (file < 0 || read(file, digits, sizeof digits - 1) < 0) digits[0] = 0;
    if (file >= 0) close(file);
    return atol(digits);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) now->tv_sec += offset();
    return result;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    static int (*real)(struct timeval *, void *);
    if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
    int result = real(now, zone);
    now->tv_sec += offset();
    return result;
}
time_t time(time_t *now) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (now) *now = t.tv_sec;
    return t.tv_sec;
}
"""


class NotHereError(RuntimeError):
    """This machine cannot do what the fault needs; the message says what is missing."""


def crash(home: Path) -> None:
    """As `pg_ctl stop -m immediate` does: no checkpoint, nobody waited for."""
    EmbeddedServer(home)._site.run("pg_ctl", "stop", "-m", "immediate", "-w")


def start(home: Path) -> str:
    """Start the server as it was started before, unless it answers; the URL of its maintenance database."""
    shim = home / "clock.so"
    server = EmbeddedServer(home)
    if shim.exists() and server._silence():
        with server._locked():
            server._clear_remains()
            server._site.prepare()
            server._site.run(
                "/usr/bin/env", f"LD_PRELOAD={shim}", f"CLOCK_OFFSET={home / OFFSET}",
                str(_binaries(server._site.account) / "pg_ctl"), "start", "-w", "-l", "start.log",
            )  # fmt: skip
    return server.ensure_running()


@contextlib.contextmanager
def plain() -> Iterator[Path]:
    """The home of a server, as durable as an installation's."""
    with _home(Path(make_home())) as home:
        yield home


@contextlib.contextmanager
def on_a_small_disk() -> Iterator[Path]:
    """The home of a server whose whole disk has 320 MB. Raises NotHereError where a file system cannot be mounted."""
    place = Path(make_home())
    mounted = os.geteuid() == 0 and shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m,mode=755", "ledger-torture", str(place)],  # noqa: S607
        check=False, capture_output=True,
    ).returncode == 0  # fmt: skip
    if not mounted:
        place.rmdir()
        raise NotHereError("a small file system can only be mounted by root, with the right to mount")
    try:
        with _home(place, keep=True) as home, connect(start(home), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET max_wal_size = '64MB'")
            connection.execute("ALTER SYSTEM SET min_wal_size = '32MB'")
            connection.execute("SELECT pg_reload_conf()")
            connection.close()
            yield home
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)  # noqa: S607
        place.rmdir()


@contextlib.contextmanager
def in_another_time() -> Iterator[Path]:
    """The home of a server whose clock can be set. Raises NotHereError where its clock cannot be compiled."""
    compiler = shutil.which("cc")
    if compiler is None or os.uname().sysname != "Linux":
        raise NotHereError("the clock of a server can be set only on Linux, with a C compiler")
    place = Path(make_home())
    source, shim = place / "clock.c", place / "clock.so"
    source.write_text(CLOCK)
    result = subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=False)
    if result.returncode != 0:
        shutil.rmtree(place)
        raise NotHereError("the shim of the clock does not compile here")
    set_clock(place, 0)
    with _home(place) as home:
        yield home


@contextlib.contextmanager
def _home(home: Path, *, keep: bool = False) -> Iterator[Path]:
    try:
        start(home)
        yield home
    finally:
        EmbeddedServer(home).stop()
        if not keep:
            shutil.rmtree(home, ignore_errors=True)


def fill(home: Path) -> None:
    """Leave no space on the server's disk."""
    with (home / BALLAST).open("ab") as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 65_536)
            file.flush()


def give_back(home: Path) -> None:
    """Undo that."""
    (home / BALLAST).unlink(missing_ok=True)


def set_clock(home: Path, seconds: int) -> None:
    """Move the clock of the server, and of this process if it was started with the shim."""
    fresh = tempfile.NamedTemporaryFile("w", dir=home, delete=False)  # noqa: SIM115 (renamed when it is whole)
    with fresh:
        fresh.write(str(seconds))
    Path(fresh.name).chmod(0o644)
    Path(fresh.name).rename(home / OFFSET)


def wait_until_up(home: Path) -> str:
    """The server, however it was left: space given back, clock right, running."""
    give_back(home)
    if (home / OFFSET).exists():
        set_clock(home, 0)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return start(home)
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
