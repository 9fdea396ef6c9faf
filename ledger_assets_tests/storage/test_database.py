"""Finding, making and entering the databases, on the embedded server and on a user's own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import psycopg2
import pytest
import sqlalchemy
from dagster import DagsterInstance
from dagster._core.instance.ref import InstanceRef
from psycopg.pq import TransactionStatus

from ledger_assets.settings import Settings
from ledger_assets.storage import database
from ledger_assets.storage.database import (
    DatabaseError,
    administrator_url,
    connect,
    dagster_url,
    ensure_databases,
    in_transaction,
    kept_connections,
    ledger_url,
    server_url,
    sqlalchemy_url,
    statement,
    with_database,
    with_options,
)
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.waiting import PATIENCE

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def embedded(run_home: Path) -> Settings:
    """The server that the whole run shares; here only the two databases on it are of interest."""
    return Settings(home=run_home)


@pytest.fixture
def own(postgres15: str) -> Iterator[Settings]:
    """A user's server on which the database of the URL exists already, as it usually does."""
    url = with_database(postgres15, "books")
    with connect(postgres15, autocommit=True) as admin:
        admin.execute("CREATE DATABASE books")
        yield Settings(database_url=url)
        admin.execute("DROP DATABASE IF EXISTS books WITH (FORCE)")
        admin.execute("DROP DATABASE IF EXISTS books_dagster WITH (FORCE)")


def name_and_order(url: str) -> tuple[object, ...]:
    with connect(url) as connection:
        row = connection.execute("SELECT current_database(), 'a' > 'B' AS by_code, getdatabaseencoding()").fetchone()
    assert row is not None
    return row


def test_the_embedded_server_gets_two_databases_however_often_it_is_asked(embedded: Settings):
    ensure_databases(embedded)
    ensure_databases(embedded)
    assert name_and_order(ledger_url(embedded)) == ("ledger", True, "UTF8")
    assert name_and_order(dagster_url(embedded)) == ("dagster", True, "UTF8")


def test_processes_at_once_create_each_database_once(own: Settings):
    code = "from ledger_assets.settings import Settings; from ledger_assets.storage.database import ensure_databases; "
    code += "ensure_databases(Settings.from_environment())"
    environment = {"LEDGER_DATABASE_URL": str(own.database_url).replace("/books", "/new_books"), "PATH": os.defpath}
    calls = [subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=PROJECT) for _ in range(6)]
    assert [call.wait(PATIENCE) for call in calls] == [0] * 6
    with connect(str(own.database_url), autocommit=True) as connection:
        names = connection.execute("SELECT datname FROM pg_database WHERE datname ~ '^new' ORDER BY 1").fetchall()
        for (name,) in names:
            connection.execute(psycopg.sql.SQL("DROP DATABASE {}").format(psycopg.sql.Identifier(name)))
    assert names == [("new_books",), ("new_books_dagster",)]


def test_on_a_users_server_the_ledger_is_where_the_url_says_and_dagster_beside_it(own: Settings):
    ensure_databases(own)
    assert server_url(own) == administrator_url(own) == own.database_url
    assert ledger_url(own) == with_options(str(own.database_url), "-c role=ledger_engine")
    assert name_and_order(ledger_url(own))[0] == "books"
    assert name_and_order(dagster_url(own)) == ("books_dagster", True, "UTF8")


def test_a_user_who_may_not_create_databases_is_told_what_to_ask_for(own: Settings):
    with connect(str(own.database_url), autocommit=True) as connection:
        connection.execute("CREATE ROLE clerk LOGIN")
        try:
            settings = Settings(database_url=str(own.database_url).replace("admin@", "clerk@"))
            with pytest.raises(DatabaseError, match='let an administrator run CREATE DATABASE "books_dagster"'):
                ensure_databases(settings)
        finally:
            connection.execute("DROP ROLE clerk")


def test_a_server_that_is_too_old_is_refused(own: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database, "OLDEST_SERVER", 16)
    with pytest.raises(DatabaseError, match="leads to PostgreSQL 15: version 16 or newer"):
        ensure_databases(own)


def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connect.retry, "sleep", lambda _: None)
    with pytest.raises(DatabaseError, match=r"no connection.*port 1 failed"):
        ensure_databases(Settings(database_url="postgresql://nobody@127.0.0.1:1/books"))


def test_another_database_keeps_everything_else_of_a_url():
    url = "postgresql://u:p%40ss@[::1]:5433/books?sslmode=require&dbname=other&application_name=a%20b"
    expected = "postgresql://u:p%40ss@[::1]:5433/a%2Fb?sslmode=require&application_name=a%20b"
    assert with_database(url, "a/b") == expected
    assert database.database_name(expected) == "a/b"


def test_every_driver_takes_the_embedded_url(embedded: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PGPORT", "1")
    ensure_databases(embedded)
    url = ledger_url(embedded)
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        assert cursor.fetchone() == ("ledger",)
    engine = sqlalchemy.create_engine(sqlalchemy_url(url), poolclass=sqlalchemy.NullPool)
    with engine.connect() as session:
        assert session.execute(sqlalchemy.text("SELECT current_database()")).scalar() == "ledger"
    adbc = pytest.importorskip("adbc_driver_postgresql.dbapi")
    with adbc.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        assert cursor.fetchall() == [("ledger",)]


def test_dagster_finds_its_storage_with_nothing_but_dagster_yaml(
    embedded: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.delenv("LEDGER_DATABASE_URL", raising=False)
    monkeypatch.setenv("LEDGER_HOME", str(embedded.home))
    with DagsterInstance.from_ref(InstanceRef.from_dir(str(tmp_path), config_dir=str(PROJECT))) as instance:
        url = sqlalchemy.make_url(instance.run_storage.postgres_url).difference_update_query(["plugin"])
        assert url == sqlalchemy.make_url(sqlalchemy_url(dagster_url(embedded)))
        assert instance.get_runs_count() == 0
        assert Path(instance.root_directory) == embedded.home / "dagster/files"
    assert not list(tmp_path.iterdir())


def test_a_connection_says_whose_it_is(embedded: Settings):
    with connect(server_url(embedded), application_name="close 2025-01") as connection:
        assert connection.execute("SHOW application_name").fetchone() == ("close 2025-01",)
        assert not connection.autocommit


def test_a_server_out_of_reach_is_tried_five_times(monkeypatch: pytest.MonkeyPatch):
    pauses: list[float] = []
    monkeypatch.setattr(connect.retry, "sleep", pauses.append)
    with pytest.raises(psycopg.OperationalError, match="refused"):
        connect("postgresql://nobody@127.0.0.1:1/books")
    assert len(pauses) == 4
    assert pauses == sorted(pauses)


def test_a_refusal_is_not_tried_again(embedded: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connect.retry, "sleep", pytest.fail)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        connect(with_database(server_url(embedded), "no_such_database"))


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long `in_transaction` would have waited between its tries."""
    waited: list[float] = []
    monkeypatch.setattr(in_transaction.retry, "sleep", waited.append)
    return waited


def end_session(connection: psycopg.Connection) -> None:
    with psycopg.connect(connection.info.dsn, autocommit=True) as administrator:
        administrator.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])


def test_work_is_committed(ledger_url: str, pauses: list[float]):
    ledger_url = superuser(ledger_url)
    in_transaction(ledger_url, lambda connection: connection.execute("CREATE TABLE public.done ()"))
    with connect(ledger_url) as connection:
        assert connection.execute("SELECT to_regclass('public.done') IS NOT NULL").fetchone() == (True,)
    assert pauses == []


def test_work_whose_connection_is_lost_is_done_again_as_a_whole(ledger_url: str, pauses: list[float]):
    ledger_url = superuser(ledger_url)
    in_transaction(ledger_url, lambda connection: connection.execute("CREATE TABLE public.note (try integer)"))
    tries = []

    def work(connection: psycopg.Connection) -> int:
        tries.append(len(tries) + 1)
        connection.execute("INSERT INTO public.note VALUES (%s)", [tries[-1]])
        if len(tries) < 3:
            end_session(connection)
        connection.execute("INSERT INTO public.note VALUES (%s)", [tries[-1]])
        return tries[-1]

    assert in_transaction(ledger_url, work) == 3
    assert len(pauses) == 2
    with connect(ledger_url) as connection:
        assert connection.execute("TABLE public.note").fetchall() == [(3,), (3,)]


def test_a_connection_that_is_lost_every_time_is_given_up_after_five_tries(ledger_url: str, pauses: list[float]):
    def work(connection: psycopg.Connection) -> None:
        end_session(connection)
        connection.execute("SELECT 1")

    with pytest.raises(psycopg.OperationalError, match="terminating connection"):
        in_transaction(ledger_url, work)
    for pause, least in zip(pauses, (0.25, 1, 4, 16), strict=True):
        assert least <= pause <= least + 0.2


def test_a_server_out_of_reach_is_tried_five_times_not_twenty_five(pauses: list[float]):
    with pytest.raises(psycopg.OperationalError, match="refused"):
        in_transaction("postgresql://nobody@127.0.0.1:1/books", pytest.fail)
    assert len(pauses) == 4


def test_a_thread_that_keeps_its_connection_leaves_one_that_failed_or_was_lost(ledger_url: str, pauses: list[float]):
    used: list[psycopg.Connection] = []

    def backend(connection: psycopg.Connection) -> int:
        used.append(connection)
        connection.execute("SELECT 1")  # raises where the connection was lost
        return connection.info.backend_pid

    def fail(connection: psycopg.Connection) -> None:
        connection.execute("TABLE public.nothing")

    with kept_connections() as keep, ThreadPoolExecutor(1, initializer=keep) as pool:
        first, second = (pool.submit(in_transaction, ledger_url, backend).result() for _ in range(2))
        assert first == second
        end_session(used[-1])
        third = pool.submit(in_transaction, ledger_url, backend).result()
        assert third != second
        assert len(pauses) == 1
        with pytest.raises(psycopg.errors.UndefinedTable):
            pool.submit(in_transaction, ledger_url, fail).result()
        assert pool.submit(in_transaction, ledger_url, backend).result() != third
        assert used[-1].info.transaction_status is TransactionStatus.IDLE
        assert in_transaction(ledger_url, backend) != used[-2].info.backend_pid  # this thread keeps nothing
    assert all(connection.closed for connection in used)


ANSWERS = {
    "a statement that timed out": "SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)",
    "a full disk": "DO $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$",
    "a deadlock": "DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$",
    "a refusal of ours": "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'LA002'; END $$",
    "no such table": "TABLE public.nothing",
}


@pytest.mark.parametrize("statement_that_fails", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_not_asked_for_again(ledger_url: str, pauses: list[float], statement_that_fails: str):
    with pytest.raises(psycopg.Error):
        in_transaction(ledger_url, lambda connection: connection.execute(statement_that_fails.encode()))
    assert pauses == []


def test_a_statement_is_the_text_of_its_file():
    some = next(path for path in sorted((PROJECT / "sql").rglob("*.sql")))
    name = str(some.relative_to(PROJECT / "sql").with_suffix(""))
    assert statement(name) == some.read_text(encoding="utf-8")


def test_a_missing_statement_is_named_with_its_neighbours():
    with pytest.raises(FileNotFoundError, match=r"no statement 'migrations/none'.*0001_foundation"):
        statement("migrations/none")
