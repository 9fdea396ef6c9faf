"""How people and programs get into the ledger: on the embedded server, and on PostgreSQL 15 by logins without power."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from ledger_assets.cli import main
from ledger_assets.close_result import Outcome
from ledger_assets.commands.options import ready
from ledger_assets.settings import Settings
from ledger_assets.storage import database
from ledger_assets.storage.certificates import issue
from ledger_assets.storage.database import (
    DatabaseError,
    as_role,
    connect,
    dagster_url,
    ensure_databases,
    ledger_url,
    with_options,
)
from ledger_assets.storage.revisions import is_current
from ledger_assets_tests import scenario
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY

pytestmark = pytest.mark.slow

WHO = "SELECT session_user::text, current_user::text"


def who(url: str) -> tuple[str, str]:
    with connect(url) as connection:
        return connection.execute(WHO).fetchone() or ("", "")


@pytest.fixture
def server(postgres15: str) -> Iterator[str]:
    """A server without anything of ours; `name` logs in there with `of(url, name)`."""
    yield postgres15
    database._TAKEN_ON.clear()
    with connect(postgres15, autocommit=True) as admin:
        for name in ("takaful", "takaful_dagster"):
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        logins = "SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname NOT IN ('admin', 'ledger_engine')"
        for (login,) in admin.execute(logins).fetchall():
            admin.execute(f"DROP OWNED BY {login}; DROP ROLE {login}".encode())


def login(server: str, name: str, *, attributes: str = "", roles: str = "") -> Settings:
    """A new login on the server, and the settings of somebody who uses it."""
    with connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN {attributes}".encode())
        if roles:
            admin.execute(f"GRANT {roles} TO {name}".encode())
    return Settings(database_url=server.replace("admin@/postgres", f"{name}@/takaful"))


@pytest.fixture
def closer(server: str) -> Settings:
    """Who sets the ledger up: no superuser, but may make databases and roles."""
    return login(server, "closer", attributes="CREATEDB CREATEROLE")


def test_an_ordinary_login_sets_up_a_ledger_and_closes_a_month_as_the_engine(closer: Settings, tmp_path: Path):
    url = ready(closer)
    assert who(url) == ("closer", "ledger_engine")
    scenario.store_rules(url)
    scenario.deliver(url, JANUARY, folder=tmp_path)
    assert scenario.close_directly(url, JANUARY).outcome == Outcome.POSTED
    assert who(ledger_url(closer, "batch_admin")) == ("closer", "batch_admin")
    with connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("DELETE FROM control.batch")
    ready(closer)  # again, and nothing happens
    with connect(dagster_url(closer)) as connection:
        connection.execute("CREATE TABLE runs ()")


def test_an_owner_without_any_power_sets_up_what_an_administrator_made(server: str):
    """As the README has it."""
    page = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
    made = next(block for block in page.split("```sql\n")[1:] if block.startswith("CREATE DATABASE takaful OWNER"))
    settings = login(server, "closer")
    with connect(server, autocommit=True) as admin:
        for statement in made.partition("```")[0].replace("\n", "").split(";")[:-1]:
            with suppress(psycopg.errors.DuplicateObject):  # the roles, from the tests before
                admin.execute(statement.encode())
    url = ready(settings)
    assert who(url) == ("closer", "ledger_engine")
    with connect(dagster_url(settings)) as connection:
        connection.execute("CREATE TABLE runs ()")


def test_a_login_of_the_engine_needs_nothing_else(closer: Settings, server: str, tmp_path: Path):
    ready(closer)
    url = ready(login(server, "robot", roles="ledger_engine"))
    assert who(url) == ("robot", "ledger_engine")
    scenario.store_rules(url)
    scenario.deliver(url, JANUARY, folder=tmp_path)
    assert scenario.close_directly(url, JANUARY).outcome == Outcome.POSTED


def test_a_viewer_sees_the_status_and_is_told_which_role_the_rest_takes(
    closer: Settings, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    url = ready(closer)
    scenario.deliver(url, JANUARY, folder=tmp_path)
    viewer = login(server, "siti", roles="finance_viewer")
    assert who(ready(viewer)) == ("siti", "siti")
    monkeypatch.setenv("LEDGER_DATABASE_URL", str(viewer.database_url))

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, arguments)
        return result.exit_code, " ".join(result.output.split())

    assert run("status", "--json")[0] == 0
    assert run("status", JANUARY)[0] == 0
    assert run("trial-balance", JANUARY, "--json") == (0, "[]")
    code, said = run("close", JANUARY)
    assert code == 1
    assert 'siti does not have the role ledger_engine: let an administrator run GRANT ledger_engine TO "siti"' in said
    code, said = run("withdraw", "1", "--reason", "curious")
    assert code == 1
    assert "permission denied for function withdraw_load): it takes the role batch_admin, ledger_engine" in said


def test_an_auditor_proves_the_books_and_looks_at_trail_and_certificate(
    closer: Settings, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    url, home = ready(closer), tmp_path / "home"
    scenario.store_rules(url)
    scenario.deliver(url, JANUARY, folder=tmp_path)
    scenario.close_directly(url, JANUARY)
    with connect(url) as connection:
        issue(connection, Settings(home=home), JANUARY, performed_by="closer")
    auditor = login(server, "budi", roles="auditor")
    monkeypatch.setenv("LEDGER_DATABASE_URL", str(auditor.database_url))
    monkeypatch.setenv("LEDGER_HOME", str(home))
    for words in (["verify"], ["verify", JANUARY], ["verify", JANUARY, "--entry", "3"], ["certificate", JANUARY]):
        result = CliRunner().invoke(main, [*words, "--json"])
        assert result.exit_code == 0, result.output
    assert CliRunner().invoke(main, ["audit"]).exit_code == 0
    change = "UPDATE ledger.je_line SET amount = amount + 1 WHERE je_number = 3 AND line_number = 1"
    scenario.execute(
        str(closer.database_url).replace("closer@", "admin@"), f"SET session_replication_role = replica; {change}"
    )
    result = CliRunner().invoke(main, ["verify"])
    assert (result.exit_code, result.stdout[:9]) == (2, "DIFFERENT")
    assert "1 values differ from what was sealed" in result.stdout  # the source and the rules could be read for it
    with connect(url) as connection:
        recorded = connection.execute(
            "SELECT database_role, outcome FROM audit.batch_operation WHERE operation = 'VERIFY' ORDER BY operation_id"
        ).fetchall()
    assert recorded == [("budi", "SUCCESS")] * 3 + [("budi", "FAILED")]


def test_a_login_without_a_role_is_told_to_ask_for_one(closer: Settings, server: str):
    ready(closer)
    with pytest.raises(
        DatabaseError, match=r'user stranger has no role in this ledger.*GRANT ledger_engine TO "stranger"'
    ):
        ready(login(server, "stranger"))


def test_a_login_that_may_not_make_roles_is_told_what_to_ask_for(server: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(database.ROLES, "one_more_role", "NOLOGIN")
    text = database.statement("access/roles").replace("'auditor'", "'one_more_role'")
    monkeypatch.setattr(database, "statement", lambda _: text)
    maker = login(server, "maker", attributes="CREATEDB")
    with pytest.raises(DatabaseError, match=r"CREATE ROLE ledger_owner NOLOGIN; .*GRANT ledger_owner, .* TO \"maker\""):
        ensure_databases(maker)


def test_who_cannot_migrate_works_with_a_current_schema_and_is_told_of_an_old_one(closer: Settings, server: str):
    ready(closer)
    robot = login(server, "robot", roles="ledger_engine")
    ready(robot)
    with connect(str(closer.database_url)) as connection:
        connection.execute("UPDATE public.ledger_assets_migration SET version_num = '0008'")
    with pytest.raises(DatabaseError, match="schema is not current and user robot may not"):
        ready(robot)


def test_a_superuser_of_an_own_server_works_as_the_engine_too(server: str):
    url = ready(Settings(database_url=server.replace("/postgres", "/takaful")))
    assert who(url) == ("admin", "ledger_engine")
    assert who(as_role(server, "auditor")) == ("admin", "auditor")
    with connect(url) as connection:
        connection.execute("RESET ROLE")
        assert connection.execute("SELECT current_user::text").fetchone() == ("ledger_engine",)


def test_options_of_a_url_are_kept():
    url = "postgresql://u:p%40ss@h:5433/books?options=-c%20statement_timeout%3D1s&sslmode=require"
    expected = "options=-c%20statement_timeout%3D1s%20-c%20role%3Dauditor"
    assert with_options(url, "-c role=auditor") == f"postgresql://u:p%40ss@h:5433/books?sslmode=require&{expected}"


def test_on_the_embedded_server_the_engine_logs_in_by_itself(run_home: Path):
    settings = Settings(home=run_home)
    ensure_databases(settings)
    assert who(ledger_url(settings)) == ("ledger_engine", "ledger_engine")
    assert who(dagster_url(settings)) == ("ledger_engine", "ledger_engine")
    assert who(ledger_url(settings, "batch_admin")) == ("ledger", "batch_admin")


def test_what_dagster_had_stored_before_goes_to_the_engine(run_home: Path):
    settings = Settings(home=run_home)
    ensure_databases(settings)
    administrator = database._dagster_database(settings, database.server_url(settings))
    with connect(administrator) as connection:
        connection.execute("CREATE TABLE kept (id serial, name text)")
    try:
        ensure_databases(settings)
        with connect(dagster_url(settings)) as connection:
            connection.execute("INSERT INTO kept (name) VALUES ('a'); ALTER TABLE kept ADD COLUMN more text")
    finally:
        with connect(administrator) as connection:
            connection.execute("DROP TABLE kept")


def test_migrations_hand_over_what_they_make(ledger_url: str):
    assert is_current(ledger_url)
    assert scenario.value_of(
        ledger_url, "SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE oid = 'control.batch'::regclass"
    ) == "ledger_owner"  # fmt: skip
