"""Who may do what (A8): the rights in PostgreSQL are those of docs/access.md, and each role really is held to them."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from ledger_assets.storage.batches import PreflightFailed
from ledger_assets.storage.database import as_role, connect
from ledger_assets_tests import rights, scenario
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.rights import ROLES

FORBIDDEN = psycopg.errors.InsufficientPrivilege
REFUSED = "42501"

OURS = "('source', 'acct', 'staging', 'ledger', 'control', 'audit', 'quarantine')"


# ------------------------------------------------------------------------------------------------ as it is written down


@pytest.mark.parametrize(("heading", "read"), [
    ("Tables and views", rights.on_tables),
    ("Functions", rights.on_functions),
])  # fmt: skip
def test_the_page_says_what_postgresql_has(ledger_url: str, heading: str, read):
    has, said = read(ledger_url), rights.stated(heading)
    missing = {name: held for name, held in has.items() if name not in said}
    assert not missing, f"state in {rights.PAGE} under {heading}, once you know that it is right:\n" + (
        rights.as_page_lines(missing)
    )
    assert has == said


def test_leaves_can_be_read_by_the_engine_and_auditors_and_written_by_nobody(closed_url: str):
    leaves = rights.on_leaves(closed_url)
    assert len(leaves) > 10
    assert set(leaves.values()) == {("read", "-", "-", "-", "read")}


def test_what_everybody_may_do_is_nothing(closed_url: str):
    everybody = scenario.rows_of(
        closed_url,
        "SELECT n.nspname, acl.object FROM pg_namespace n, LATERAL ("
        "  SELECT 'schema' AS object, x.* FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) x UNION ALL "
        "  SELECT c.relname, x.* FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) x "
        "  WHERE c.relnamespace = n.oid UNION ALL "
        "  SELECT f.proname, x.* FROM pg_proc f, aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) x "
        "  WHERE f.pronamespace = n.oid) AS acl "
        f"WHERE n.nspname IN {OURS} AND grantee = 0",
    )
    assert everybody == []


def test_everything_belongs_to_an_owner_who_cannot_log_in(closed_url: str):
    others = scenario.rows_of(
        closed_url,
        "SELECT object FROM ("
        "  SELECT oid::regclass::text AS object, relowner AS owner, relnamespace AS schema FROM pg_class "
        "  UNION ALL SELECT oid::regprocedure::text, proowner, pronamespace FROM pg_proc "
        "  UNION ALL SELECT oid::regtype::text, typowner, typnamespace FROM pg_type "
        "  UNION ALL SELECT oid::regnamespace::text, nspowner, oid FROM pg_namespace) AS objects "
        f"WHERE schema::regnamespace::text IN {OURS} AND owner <> 'ledger_owner'::regrole",
    )
    assert others == []


def test_the_roles_have_no_power_over_the_server_or_each_other(ledger_url: str):
    roles = scenario.rows_of(
        ledger_url,
        "SELECT rolname, rolcanlogin, "
        "rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls AS power, "
        "EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid) AS member FROM pg_roles r "
        "WHERE rolname = ANY (%s) ORDER BY rolname",
        [*ROLES, "ledger_owner"],
    )
    assert {row["rolname"] for row in roles if row["rolcanlogin"]} == {"ledger_engine"}
    assert [row for row in roles if row["power"] or row["member"]] == []


def test_functions_act_for_the_owner_and_mean_what_we_mean(ledger_url: str):
    careless = scenario.rows_of(
        ledger_url,
        "SELECT oid::regprocedure::text FROM pg_proc WHERE proowner = 'ledger_owner'::regrole "
        "AND (provolatile <> 'i' OR proname = 'posted_when_planned') "
        "AND NOT (prosecdef AND coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false))",
    )
    assert careless == []


# ------------------------------------------------------------------------------------------------ as it is


@pytest.fixture(params=ROLES)
def as_somebody(request: pytest.FixtureRequest, closed_url: str) -> Iterator[psycopg.Connection]:
    """A connection to two closed months with the rights of each role in turn; its name is the connection's role."""
    with closing(connect(as_role(superuser(closed_url), request.param))) as connection:
        yield connection


def role_of(connection: psycopg.Connection) -> str:
    return str(connection.execute("SELECT current_user").fetchone()[0])


def state_of(connection: psycopg.Connection, statement: sql.Composed | str) -> str | None:
    """What became of a statement, which is taken back: its SQLSTATE, None for one that was done."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement if isinstance(statement, sql.Composed) else statement.encode())
    except psycopg.Error as fault:
        return fault.sqlstate
    return None


def relations(url: str) -> list[tuple[str, str, str]]:
    """Every table, view, month and leaf of ours: schema, name, a column that can be written."""
    return [
        (row["nspname"], row["relname"], row["attname"])
        for row in scenario.rows_of(
            url,
            "SELECT n.nspname, c.relname, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "JOIN LATERAL (SELECT attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 "
            "  AND attidentity = '' AND attgenerated = '' AND NOT attisdropped LIMIT 1) AS a ON true "
            "WHERE c.relowner = 'ledger_owner'::regrole AND c.relkind IN ('r', 'p', 'v') ORDER BY 1, 2",
        )
    ]


def test_nobody_writes_a_table_by_hand(as_somebody: psycopg.Connection, closed_url: str):
    stated, attempted = rights.stated("Tables and views"), 0
    for schema, name, column in relations(closed_url):
        table, first = sql.Identifier(schema, name), sql.Identifier(column)
        for write in (
            sql.SQL("INSERT INTO {} DEFAULT VALUES").format(table),
            sql.SQL("UPDATE {} SET {first} = {first}").format(table, first=first),
            sql.SQL("DELETE FROM {}").format(table),
            sql.SQL("TRUNCATE {}").format(table),
            sql.SQL("DROP TABLE {}").format(table),
            sql.SQL("ALTER TABLE {} DISABLE TRIGGER ALL").format(table),
        ):
            state = state_of(as_somebody, write)
            expected = {REFUSED, "42809", "55000"}  # the others: "is not a table", before anybody asks for rights
            if "insert some" in stated.get(f"{schema}.{name}", [""])[0] and role_of(as_somebody) == "ledger_engine":
                expected.add("23502")  # the engine may insert, but not nothing
            assert state in expected, f"{role_of(as_somebody)}: {write.as_string()} ended with {state}"
            attempted += 1
    assert attempted > 200


def test_each_role_reads_what_the_page_says(as_somebody: psycopg.Connection, closed_url: str):
    role = role_of(as_somebody)
    stated = rights.stated("Tables and views")
    for schema, name, _ in relations(closed_url):
        held = stated.get(f"{schema}.{name}", ("read", "-", "-", "-", "read"))[ROLES.index(role)]
        state = state_of(as_somebody, sql.SQL("SELECT * FROM {} LIMIT 1").format(sql.Identifier(schema, name)))
        may = "read" in held.split(", ")
        assert state == (None if may else REFUSED), f"{role} reads {schema}.{name}: {state}"


def test_each_role_calls_what_the_page_says(as_somebody: psycopg.Connection, closed_url: str):
    role = role_of(as_somebody)
    stated = rights.stated("Functions")
    functions = scenario.rows_of(
        closed_url,
        "SELECT n.nspname || '.' || f.proname AS name, "
        "(SELECT string_agg('NULL::' || format_type(t, NULL), ', ') FROM unnest(f.proargtypes) AS t) AS nothing "
        "FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace "
        "WHERE f.proowner = 'ledger_owner'::regrole AND f.provolatile <> 'i' AND f.prorettype <> 'trigger'::regtype",
    )
    assert len(functions) > 30
    for function in functions:
        name = function["name"]
        held = stated[name][ROLES.index(role)]
        call = f"SELECT {name}()"
        if nothing := function[
            "nothing"
        ]:  # OFFSET 0: PostgreSQL would not call a STRICT function that it sees has none
            names = ", ".join(f"a{n}" for n in range(nothing.count("::")))
            call = f"SELECT {name}({names}) FROM (VALUES ({nothing}) OFFSET 0) AS v ({names})"
        try:
            with as_somebody.transaction(force_rollback=True):
                as_somebody.execute(call.encode())
            was_refused = False
        except psycopg.Error as fault:  # with nothing to work on most of them complain, but about that
            was_refused = str(fault).startswith(("permission denied for function", "permission denied for schema"))
        assert was_refused == (held == "-"), f"{role} calls {name}"


@pytest.mark.parametrize("attempt", [
    "SET ROLE ledger_owner",
    "SET session_replication_role = replica",
    "CREATE TABLE ledger.je_line_forged (LIKE ledger.je_line)",
    "CREATE FUNCTION control.posted_when_planned() RETURNS text[] LANGUAGE sql AS 'SELECT NULL::text[]'",
    "CREATE SCHEMA books",
    "CREATE TABLE public.notes ()",
    "CREATE ROLE accomplice SUPERUSER",
    "COPY control.batch TO PROGRAM 'true'",
    "ALTER FUNCTION ledger.post_batch(text, text, text) SECURITY INVOKER",
    "SELECT txn_id FROM source.txn_source FOR UPDATE",
])  # fmt: skip
def test_nobody_takes_more_rights(closed_url: str, attempt: str):
    for role in ROLES:
        # As people have them: by a login of their own. What a superuser has taken on, he could put down again.
        with connect(superuser(closed_url)) as connection:
            connection.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(role)))
            state = state_of(connection, attempt)
            assert state == REFUSED, f"{role}: {attempt} ended with {state}"
            connection.rollback()


@pytest.mark.parametrize("column", ["raw", "txn_id"])
@pytest.mark.parametrize("role", ["batch_admin", "batch_operator", "finance_viewer"])
def test_what_a_refused_row_holds_is_not_shown(closed_url: str, role: str, column: str):
    with connect(as_role(superuser(closed_url), role)) as connection:
        assert state_of(connection, "SELECT count(*), min(status) FROM source.rejected_row") is None
        assert state_of(connection, f"SELECT {column} FROM source.rejected_row") == REFUSED


def test_finance_sees_a_verdict_without_the_rows_that_break_it(closed_url: str):
    with connect(as_role(superuser(closed_url), "finance_viewer")) as connection:
        assert state_of(connection, "SELECT gate, passed, detail FROM control.batch_validation_result") is None
        assert state_of(connection, "SELECT offending FROM control.batch_validation_result") == REFUSED


def test_posted_leaves_refuse_their_owner_and_a_superuser(closed_url: str):
    leaf = scenario.value_of(
        closed_url,
        "SELECT min('ledger.' || relname) FROM pg_class c JOIN control.batch_worker w ON w.line_leaf = c.oid",
    )
    for become in ("SET ROLE NONE", "SET ROLE ledger_owner"):
        with connect(superuser(closed_url)) as connection:
            connection.execute(become)
            for attempt in (
                f"UPDATE {leaf} SET amount = amount + 1",
                f"DELETE FROM {leaf}",
                f"TRUNCATE {leaf}",
                f"INSERT INTO {leaf} SELECT * FROM {leaf}",
                "UPDATE ledger.je_line SET amount = amount + 1",
                "DELETE FROM audit.batch_operation",
            ):
                assert state_of(connection, attempt) == REFUSED, attempt


# ------------------------------------------------------------------------------------------------ the engine at work


def test_the_engine_fills_a_leaf_until_it_is_finished(ledger_url: str, tmp_path: Path):
    scenario.store_rules(ledger_url)
    scenario.deliver(ledger_url, scenario.FIRST_PERIOD, folder=tmp_path)
    batch, _ = scenario.opened(ledger_url, scenario.FIRST_PERIOD)
    assert batch is not None
    with connect(ledger_url) as connection:
        (headers, lines), = connection.execute(
            "SELECT header_leaf, line_leaf FROM staging.create_leaves(%s, 1, 1, 1, 1)", [batch.batch_id]
        ).fetchall()  # fmt: skip
        template = connection.execute("SELECT min(template_id) FROM acct.journal_template").fetchone()[0]
        header = f"INSERT INTO {headers} VALUES (100, 1, '2024-01-31', {template}, 1, '2024-01', 'A')"
        connection.execute(header.encode())
        for statement in (f"UPDATE {headers} SET total_amount = 1", f"DELETE FROM {headers}", f"DROP TABLE {headers}"):
            assert state_of(connection, statement) == REFUSED
        connection.execute(
            "SELECT staging.finish_worker(%s, 1, 1, 1, 1, 1, 2, %s, %s, now(), 1::smallint, sha256(''), "
            "ARRAY[sha256('')])",
            [batch.batch_id, headers, lines],
        )
        assert state_of(connection, header.replace(" 1, '2024", " 2, '2024")) == REFUSED


def test_the_engine_cannot_have_another_table_finished_as_a_leaf(ledger_url: str, tmp_path: Path):
    scenario.store_rules(ledger_url)
    scenario.deliver(ledger_url, scenario.FIRST_PERIOD, folder=tmp_path)
    batch, _ = scenario.opened(ledger_url, scenario.FIRST_PERIOD)
    assert batch is not None
    for name in ("control.batch", "control.batch DROP COLUMN state; --", None):
        with connect(ledger_url) as connection, pytest.raises(psycopg.errors.InvalidParameterValue):
            connection.execute(
                "SELECT staging.finish_worker(%s, 1, 1, 1, 1, 1, 2, %s, 'x', now(), 1::smallint, sha256(''), "
                "ARRAY[sha256('')])",
                [batch.batch_id, name],
            )


def test_a_load_that_is_finished_takes_no_more_rows(closed_url: str):
    with connect(closed_url) as connection:
        for call in ("source.create_leaf(1)", "source.finish_load(1, 1, 0, '{}', 'x')"):
            assert state_of(connection, f"SELECT {call}") == "LA002"


def test_a_posted_batch_cannot_be_ended_as_a_dry_run(closed_url: str):
    with connect(closed_url) as connection:
        assert state_of(connection, "SELECT control.end_dry_run(batch_id, 'x') FROM control.batch") == "LA002"


def test_the_engine_opens_month_ends_and_dry_runs_only(closed_url: str):
    with connect(closed_url) as connection:
        for kind in ("'YEAREND'", "'REVERSAL'", "'OTHER'", "NULL"):
            call = f"control.open_batch('2024-03', {kind}, 'combined', 1, 100, '2024-01', 'eve', NULL)"
            assert state_of(connection, f"SELECT {call}") == "LA002", kind


def test_a_later_first_period_skips_no_month(closed_url: str):
    with pytest.raises(
        PreflightFailed, match="2024-04 is not the first period of these books: 2024-01 has a posted batch"
    ):
        scenario.opened(closed_url, "2024-04", first_period="2024-04")


def test_a_name_that_a_caller_puts_first_in_his_path_is_not_taken(ledger_url: str, tmp_path: Path):
    """A withdrawal looks into pg_inherits: into PostgreSQL's, not into a table of the caller's."""
    scenario.deliver(ledger_url, scenario.FIRST_PERIOD, folder=tmp_path)
    with connect(ledger_url) as connection:
        connection.execute("CREATE TEMPORARY TABLE pg_inherits (inhparent regclass, inhrelid regclass)")
        connection.execute("SET search_path = pg_temp, pg_catalog")
        connection.execute("SELECT source.withdraw_load(1, 'sent in error', 'tester')")
    assert scenario.value_of(ledger_url, "SELECT count(*) FROM source.txn_source") == 0
