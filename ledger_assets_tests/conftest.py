"""PostgreSQL for the tests: one real server per run, a fresh clone of the migrated database per test.

The server is the embedded one in a temporary home, started by whichever pytest-xdist worker needs it
first, which is what it is made for. LEDGER_TEST_DATABASE_URL names another server to test against; its
user must be allowed to create databases. Tests that need no database pay for nothing of this.
"""

import contextlib
import gc
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from psycopg import sql

from ledger_assets.storage.database import connect, create_database, database_name, with_database
from ledger_assets.storage.server import EmbeddedServer
from ledger_assets_tests.logins import engine, superuser
from ledger_assets_tests.waiting import PATIENCE

_RUN_HOME = "LEDGER_TESTS_HOME"  # how the workers learn of the directory that the controller made
_PREFIX = "ledger-tests-"
_DISK = Path("/tmp")  # noqa: S108 (made by mkdtemp; a socket's path must be short)
_MEMORY = Path("/dev/shm")  # noqa: S108 (likewise)
_POSTGRES15 = Path("/usr/lib/postgresql/15/bin")
_FOR_TESTS = (_RUN_HOME, "LEDGER_TEST_DATABASE_URL", "LEDGER_DATA_DIR")


# How long an example takes says how busy the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # until everything is imported, see below
    # The decisions of the person who runs the tests are not theirs; partitions read one when they are imported.
    for variable in [name for name in os.environ if name.startswith("LEDGER_") and name not in _FOR_TESTS]:
        del os.environ[variable]
    if not hasattr(config, "workerinput"):
        _sweep()
        os.environ[_RUN_HOME] = make_home()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What was imported stays to the end: let the garbage collector not look through it again and again."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return
    home = Path(os.environ.pop(_RUN_HOME))
    if url := os.environ.get("LEDGER_TEST_DATABASE_URL"):
        drop_database(url, _template_name(home))
    _dissolve(home)


def make_home() -> str:
    """A short-named directory that others may pass through: PostgreSQL runs under another account for root.

    In memory, where there is enough of it: cloning a database of 400 files took 12 ms there, 50 to 400 on disk.
    """
    roomy = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 4 * 2**30
    home = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_MEMORY if roomy else _DISK)
    Path(home).chmod(0o755)
    return home


def _sweep() -> None:
    """Take away what runs that were killed left behind."""
    for home in [*_DISK.glob(f"{_PREFIX}*"), *_MEMORY.glob(f"{_PREFIX}*")]:
        pid = home.name.removeprefix(_PREFIX).partition("-")[0]
        with contextlib.suppress(FileNotFoundError):  # another run sweeps as well
            if pid.isdigit() and home.stat().st_uid == os.geteuid() and not psutil.pid_exists(int(pid)):
                _dissolve(home)


def _dissolve(home: Path) -> None:
    EmbeddedServer(home).stop()
    if home.is_mount():  # a small disk of torture/
        subprocess.run(["umount", "-l", str(home)], check=False)  # noqa: S607
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def run_home() -> Path:
    """The directory shared by all workers of this test run."""
    return Path(os.environ[_RUN_HOME])


@pytest.fixture(scope="session")
def test_server_url(run_home: Path) -> str:
    """The URL of a database on the server under test from which others can be created."""
    if url := os.environ.get("LEDGER_TEST_DATABASE_URL"):
        return url
    url = EmbeddedServer(run_home).ensure_running()
    with connect(url, autocommit=True) as connection:
        # What a test writes need not survive it; and nothing comes by at a time of its own choosing.
        for setting in ("fsync = off", "max_wal_size = '256MB'", "autovacuum = off"):
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
    return url


@pytest.fixture(scope="session")
def template_database(run_home: Path, test_server_url: str) -> str:
    """The name of a database with all migrations applied, made once per run. Nobody may stay connected to it."""
    from ledger_assets.storage.migrations import migrate  # noqa: PLC0415 (the other tests do without it)

    name = _template_name(run_home)
    ready = run_home / "template-is-ready"
    with FileLock(run_home / "template.lock"):
        if not ready.exists():
            with connect(test_server_url, autocommit=True) as connection:
                create_database(connection, name)
            migrate(with_database(test_server_url, name))
            ready.touch()
    return name


@pytest.fixture
def ledger_url(test_server_url: str, template_database: str) -> Iterator[str]:
    """The URL of a migrated database of this test's own, with the engine's rights; see `logins.superuser`."""
    with cloned(test_server_url, template_database) as url:
        yield url


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[psycopg.Connection]:
    """A connection into this test's own database."""
    with contextlib.closing(connect(ledger_url, application_name="ledger-assets-tests")) as connection:
        yield connection


@pytest.fixture
def by_hand(ledger_url: str) -> Iterator[psycopg.Connection]:
    """A connection into the same database with the superuser's rights, for what the product itself never does."""
    with contextlib.closing(connect(superuser(ledger_url), application_name="ledger-assets-tests")) as connection:
        yield connection


@pytest.fixture(scope="session")
def ruled_database(test_server_url: str, template_database: str) -> Iterator[str]:
    """The name of a database that has the rules and nothing else. Nobody may stay connected to it."""
    from ledger_assets_tests import scenario  # noqa: PLC0415 (it imports Dagster, which the other tests do without)

    with cloned(test_server_url, template_database) as url:
        scenario.store_rules(url)
        yield database_name(url)


@pytest.fixture(scope="session")
def loaded_books(test_server_url: str, ruled_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a database that has the rules, and the scenario's first month loaded. Nobody may stay connected."""
    from ledger_assets_tests import scenario  # noqa: PLC0415 (likewise)

    with cloned(test_server_url, ruled_database) as url:
        scenario.deliver(url, scenario.FIRST_PERIOD, folder=tmp_path_factory.mktemp("delivery"))
        yield database_name(url)


@pytest.fixture
def books(test_server_url: str, loaded_books: str) -> Iterator[str]:
    """The URL of such a database of the test's own."""
    with cloned(test_server_url, loaded_books) as url:
        yield url


@pytest.fixture(scope="session")
def staged_database(test_server_url: str, loaded_books: str) -> Iterator[str]:
    """The name of a database in which the scenario's first month lies staged. Nobody may stay connected to it."""
    from ledger_assets_tests import scenario  # noqa: PLC0415 (likewise)

    with cloned(test_server_url, loaded_books) as url:
        scenario.staged(url, scenario.FIRST_PERIOD)
        yield database_name(url)


@pytest.fixture(scope="session")
def ready_books(test_server_url: str, staged_database: str) -> Iterator[tuple[str, Any]]:
    """The name of a database in which that month is through its gates, and its batch. Nobody may stay connected."""
    from ledger_assets_tests import scenario  # noqa: PLC0415 (likewise)

    with cloned(test_server_url, staged_database) as url:
        batch = scenario.batch_of(url, scenario.FIRST_PERIOD)
        assert scenario.failing_gates(url, batch) == {}
        yield database_name(url), batch


@pytest.fixture
def ready_url(test_server_url: str, ready_books: tuple[str, Any]) -> Iterator[str]:
    """The URL of such a database of this test's own."""
    with cloned(test_server_url, ready_books[0]) as url:
        yield url


@pytest.fixture
def staged_url(test_server_url: str, staged_database: str) -> Iterator[str]:
    """The URL of such a database of this test's own."""
    with cloned(test_server_url, staged_database) as url:
        yield url


@pytest.fixture(scope="session")
def closed_database(
    test_server_url: str, staged_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The name of a database in which the scenario's first two months are closed. Nobody may stay connected to it."""
    from ledger_assets_tests import scenario  # noqa: PLC0415 (likewise)

    with cloned(test_server_url, staged_database) as url:
        scenario.close_directly(url, scenario.FIRST_PERIOD)
        scenario.deliver(url, scenario.SECOND_PERIOD, folder=tmp_path_factory.mktemp("delivery"))
        scenario.close_directly(url, scenario.SECOND_PERIOD)
        yield database_name(url)


@pytest.fixture
def closed_url(test_server_url: str, closed_database: str) -> Iterator[str]:
    """The URL of such a database of this test's own."""
    with cloned(test_server_url, closed_database) as url:
        yield url


@pytest.fixture
def ledger_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A LEDGER_HOME of this test's own, where Dagster's assets look for an inbox and leave the report."""
    monkeypatch.setenv("LEDGER_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="session")
def postgres15() -> Iterator[str]:
    """The URL of a server of PostgreSQL 15, the oldest that we support, from the machine's own binaries."""
    if not (_POSTGRES15 / "initdb").exists():
        pytest.skip(f"no PostgreSQL 15 in {_POSTGRES15}")
    directory = Path(make_home())
    data = directory / "data"
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(data, _named_account(), _named_account())
    _run_postgres15("initdb", "-D", data, "-U", "admin", "-E", "UTF8", "--locale=C", "--no-sync", "-A", "trust")
    # Compiling plans takes longer than running them on a few rows; the other settings are those of the embedded one.
    options = f"-c listen_addresses='' -c unix_socket_directories={data} -c fsync=off -c autovacuum=off -c jit=off"
    try:
        _run_postgres15("pg_ctl", "start", "-w", "-t", str(PATIENCE), "-D", data, "-l", data / "log", "-o", options)
        yield f"postgresql://admin@/postgres?host={data}&port=5432"
    finally:
        _run_postgres15("pg_ctl", "stop", "-m", "immediate", "-D", data)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def oldest_template(postgres15: str) -> str:
    """The name of a migrated database on that server. Nobody may stay connected to it."""
    from ledger_assets.storage.migrations import migrate  # noqa: PLC0415 (likewise)

    with connect(postgres15, autocommit=True) as connection:
        create_database(connection, "migrated")
    migrate(with_database(postgres15, "migrated"))
    return "migrated"


@pytest.fixture
def oldest_url(postgres15: str, oldest_template: str) -> Iterator[str]:
    """The URL of such a database of this test's own, with the rights of whoever made it."""
    with cloned(postgres15, oldest_template) as url:
        yield superuser(url)


def _run_postgres15(program: str, *arguments: str | Path) -> None:
    account = _named_account() if os.geteuid() == 0 else None
    subprocess.run(
        [_POSTGRES15 / program, *arguments], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/",
        user=account, group=account, extra_groups=None if account is None else [],
    )  # fmt: skip


def _named_account() -> int:
    return pwd.getpwnam("nobody").pw_uid


def _template_name(run_home: Path) -> str:
    return f"template_of_{run_home.name.removeprefix(_PREFIX).replace('-', '_')}"


@contextlib.contextmanager
def cloned(server_url: str, template: str) -> Iterator[str]:
    """The URL, with the engine's rights, of a database that begins as the template is, until it is dropped."""
    name = f"ledger_test_{secrets.token_hex(6)}"
    clone_database(server_url, template, name)
    try:
        yield engine(with_database(server_url, name))
    finally:
        drop_database(server_url, name)


def clone_database(url: str, template: str, name: str) -> None:
    clone = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    with connect(url, autocommit=True) as connection:
        connection.execute(clone.format(sql.Identifier(name), sql.Identifier(template)))


def drop_database(url: str, name: str) -> None:
    with connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
