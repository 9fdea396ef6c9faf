"""What a command costs before it does anything: what it imports, and how often it connects. Seconds are not measured:
docs/performance.md has them.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from dagster_postgres import DagsterPostgresStorage
from sqlalchemy import make_url

from ledger_assets.storage.dagster_storage import LedgerDagsterStorage
from ledger_assets.storage.database import connect, database_name, with_database
from ledger_assets.storage.revisions import SCRIPTS, newest_revision
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.waiting import wait_until

PROJECT = Path(__file__).resolve().parents[1]
PAPERS = {"reportlab", "xlsxwriter"}
HEAVY = {"alembic", "dagster", "duckdb", "jinja2", "pandera", "polars", "pyarrow", "sqlalchemy", "sqlglot"} | PAPERS
PROGRAM = """
import sys
from ledger_assets.cli import main
try:
    main(sys.argv[1:])
finally:
    print("imported:", *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""

Run = Callable[..., tuple[int, set[str]]]


@pytest.fixture
def books(ledger_url: str) -> Iterator[str]:
    """Books of this test's own. Dagster's database beside them goes with them."""
    yield superuser(ledger_url)
    with connect(with_database(superuser(ledger_url), "postgres"), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{database_name(ledger_url)}_dagster" WITH (FORCE)')  # type: ignore[call-overload]


@pytest.fixture
def run(books: str, tmp_path: Path) -> Run:
    """`ledger-assets` in a new process: its exit code, and the packages that it imported."""

    def run(*words: str) -> tuple[int, set[str]]:
        environment = {**os.environ, "LEDGER_DATABASE_URL": books, "LEDGER_HOME": str(tmp_path)}
        command = [sys.executable, "-c", PROGRAM, *words]
        ended = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
        said, _, imported = ended.stderr.rpartition("imported:")
        assert not said, said
        return ended.returncode, set(imported.split())

    return run


def sessions(url: str) -> dict[str, int]:
    """How many connections each of the two databases has had, and how many transactions."""
    found = {}
    with connect(with_database(url, "postgres")) as connection:
        for key, name in (("ledger", database_name(url)), ("dagster", f"{database_name(url)}_dagster")):
            row = connection.execute(
                "SELECT sessions, xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s", [name]
            ).fetchone()
            assert row is not None
            found |= {f"connections to {key}": row[0], f"transactions of {key}": row[1]}
    return found


def test_help_and_status_wait_for_no_heavy_package(run: Run):
    code, imported = run("--help")
    assert (code, imported & (HEAVY | {"psycopg"})) == (0, set())
    code, imported = run("status")
    assert (code, imported & HEAVY) == (0, set())
    for watching in ("health", "metrics"):
        code, imported = run(watching)
        assert (code, imported & HEAVY) == (0, set())


def test_a_close_connects_a_few_times_and_not_for_every_statement(run: Run, books: str, tmp_path: Path):
    """A close connects 50 times to the ledger, for 106 transactions, and 13 times to Dagster's database, for 846.
    While Dagster's storage kept no connection, it was 301 times. The limits leave room: autovacuum's transactions and
    those of parallel workers are counted as well, and how many there are depends on the machine (113 were seen).
    """
    code, imported = run("close", "2024-02")
    assert (code, imported & {"duckdb", *PAPERS}) == (3, set())  # January is open; and Dagster's tables are there now
    file = tmp_path / "january.csv"
    assert run("generate", "--period", JANUARY, "--rows", "100", "--out", str(file))[0] == 0
    assert run("ingest", str(file), "--period", JANUARY)[0] == 0
    before = sessions(books)
    assert run("close", JANUARY)[0] == 0
    cost = {name: count - before[name] for name, count in sessions(books).items()}
    assert 0 < cost["connections to dagster"] <= 25, cost
    assert 0 < cost["connections to ledger"] <= 70, cost
    assert 0 < cost["transactions of dagster"] <= 1500, cost
    assert 0 < cost["transactions of ledger"] <= 200, cost


def test_dagsters_storage_notices_that_its_connection_is_gone(books: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LEDGER_DATABASE_URL", books)
    storage = LedgerDagsterStorage.from_config_value(None, {})
    assert isinstance(storage, DagsterPostgresStorage)
    dagster = with_database(books, f"{database_name(books)}_dagster")
    assert make_url(storage.postgres_url).database == database_name(dagster)
    assert storage.run_storage.get_runs_count() == 0
    ended = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
    )
    with connect(dagster, autocommit=True) as connection:
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        # Each of the three storages keeps a connection; who made the tables may need a moment to leave.
        wait_until(lambda: connection.execute(others).fetchone() == (3,))
        connection.execute(ended, [connection.info.backend_pid])  # type: ignore[call-overload]
    assert storage.run_storage.get_runs_count() == 0
    assert storage.event_log_storage.get_maximum_record_id() is None


def test_the_newest_migration_is_alembics_head():
    assert newest_revision() == ScriptDirectory(str(SCRIPTS)).get_current_head()
