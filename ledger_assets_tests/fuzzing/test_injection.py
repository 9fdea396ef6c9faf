"""SQL injection through every function, command, file and name: each payload is stored as it is or refused."""

import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg import sql

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.rule_files import load_rule_set
from ledger_assets.accounting.schemas import SOURCE_COLUMNS
from ledger_assets.cli import main
from ledger_assets.reporting.papers import report_path
from ledger_assets.settings import Settings
from ledger_assets.storage import batches, rules, source_loads
from ledger_assets.storage.database import connect, create_database, database_name, with_database
from ledger_assets.storage.inbox import inbox
from ledger_assets_tests import scenario
from ledger_assets_tests.fuzzing.injection import CANARY, CONTROL, OUTPUT, SCHEMAS, SQL, nothing_injected
from ledger_assets_tests.logins import superuser

BATCH = f"{scenario.FIRST_PERIOD}-MONTHEND"

# ---------------------------------------------------------------------------------- the functions of the database

GIVEN: dict[str, Any] = {
    "the_batch": BATCH, "the_period": scenario.FIRST_PERIOD, "period": scenario.FIRST_PERIOD, "the_kind": "MONTHEND",
    "the_rule_set": "combined", "first_period": scenario.FIRST_PERIOD, "root": "je_header", "performed_by": "tester",
}  # fmt: skip
"""What a parameter gets while another one holds the payload; all others get something of their type."""

TEXTS = ("text", "control.period_key", "character varying", "name")
TYPICAL: dict[str, Any] = {
    "integer": 1, "bigint": 1, "smallint": 1, "numeric": 1, "boolean": True, "jsonb": "{}",
    "regclass": "ledger.je_line",
    "timestamp with time zone": "2024-01-01", "date": "2024-01-01", "uuid": "00000000-0000-0000-0000-000000000000",
    "bytea": r"\x00", "text[]": "{a}", "integer[]": "{1}",
    "bytea[]": "{}",
}  # fmt: skip

FUNCTIONS = """
    SELECT p.oid::regproc::text AS name, p.oid,
           array(SELECT coalesce(p.proargnames[n], '') FROM generate_series(1, p.pronargs) n) AS names,
           array(SELECT format_type(p.proargtypes[n - 1], NULL) FROM generate_series(1, p.pronargs) n) AS types
    FROM pg_proc p
    WHERE p.pronamespace::regnamespace::text = ANY (%s) AND p.prokind = 'f' AND p.prorettype <> 'trigger'::regtype
    ORDER BY 1
"""


def test_no_function_of_the_database_runs_what_it_is_given(ledger_url: str, tmp_path: Path) -> None:
    """Every function of ours, every parameter that is text: a new function is covered by being there."""
    scenario.store_rules(ledger_url)
    scenario.deliver(ledger_url, scenario.FIRST_PERIOD, folder=tmp_path)
    scenario.opened(ledger_url, scenario.FIRST_PERIOD)
    functions = scenario.rows_of(ledger_url, FUNCTIONS, SCHEMAS)
    assert len(functions) > 20
    # As a superuser, who may call them all.
    with nothing_injected(ledger_url), connect(superuser(ledger_url)) as connection:
        guilty = [function["name"] for function in functions if _runs_what_it_is_given(connection, function)]
        connection.execute("SELECT setval('public.canary', 1, false)")
    assert guilty == []


def _runs_what_it_is_given(connection: psycopg.Connection, function: dict[str, Any]) -> bool:
    kinds = function["types"]
    typical = [
        GIVEN.get(name, TYPICAL.get(kind, "x" if kind in TEXTS else None))
        for name, kind in zip(function["names"], kinds, strict=True)
    ]
    connection.execute("SELECT setval('public.canary', 1, false)")
    for position, kind in enumerate(kinds):
        for payload in SQL if kind in TEXTS else ():
            values = [*typical[:position], payload, *typical[position + 1 :]]
            arguments = sql.SQL(", ").join(
                sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(kind))
                for value, kind in zip(values, kinds, strict=True)
            )
            with contextlib.suppress(psycopg.Error), connection.transaction(force_rollback=True):
                connection.execute(sql.SQL("SELECT {}({})").format(sql.SQL(function["name"]), arguments))
    (sang,) = connection.execute("SELECT is_called FROM public.canary").fetchone() or (True,)
    return bool(sang)


def test_a_canary_sings_where_a_name_is_pasted_into_a_statement(ledger_url: str) -> None:
    """What is looked for can be seen."""
    scenario.execute(
        ledger_url,
        "CREATE FUNCTION control.careless(a_name text) RETURNS void LANGUAGE plpgsql AS $f$ BEGIN "
        "EXECUTE 'SELECT ''' || a_name || ''''; END $f$",
    )
    scenario.execute(ledger_url, CANARY)
    (function,) = (f for f in scenario.rows_of(ledger_url, FUNCTIONS, SCHEMAS) if f["name"] == "control.careless")
    with connect(ledger_url) as connection:
        assert _runs_what_it_is_given(connection, function)


@pytest.mark.parametrize(
    "name",
    ['je"; DROP TABLE source.load; --', "it's {leaf} %s", "Ünïcode é \\ $$"],
    ids=["quotes", "formats", "Unicode"],
)
def test_leaves_of_any_name_are_measured_posted_and_dropped(staged_url: str, name: str) -> None:
    """control.batch_worker holds oids: what a leaf is called is never read back as SQL."""
    workers = scenario.rows_of(
        staged_url, "SELECT worker_number, header_leaf::oid AS h, line_leaf::oid AS l FROM control.batch_worker"
    )
    with connect(superuser(staged_url)) as connection:
        for worker in workers:
            for kind in ("h", "l"):
                (old,) = connection.execute(
                    "SELECT relname FROM pg_class WHERE oid = %s", [worker[kind]]
                ).fetchone() or ("",)
                new = f"{name}{kind}{worker['worker_number']}"
                connection.execute(
                    sql.SQL("ALTER TABLE staging.{} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new))
                )
    batch = scenario.batch_of(staged_url, scenario.FIRST_PERIOD)
    with nothing_injected(staged_url):
        assert scenario.failing_gates(staged_url, batch) == {}
        assert scenario.post(staged_url, batch)
    assert scenario.value_of(staged_url, "SELECT count(*) FROM ledger.ledger_entry_header") == scenario.ROWS


# --------------------------------------------------------------------------------------------- the command line

ELSEWHERE = {
    "up": "starts a server", "down": "stops a server", "ui": "starts a server", "demo": "takes nothing",
    "bench": "takes numbers and a choice", "migrate": "takes nothing",
}  # fmt: skip
"""Commands that no text can be given to, and why they are not called here."""

WORDS = [
    (name, parameter)
    for name, command in sorted(main.commands.items())
    if name not in ELSEWHERE
    for parameter in command.params
    if not getattr(parameter, "is_flag", False) and not isinstance(parameter.type, click.Choice)
]


@pytest.fixture
def run(ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command, on books in which a file is loaded, in a folder of its own."""
    scenario.store_rules(ledger_url)
    scenario.deliver(ledger_url, scenario.FIRST_PERIOD, folder=tmp_path, defects=["negative_amount"])
    # Of somebody with every role: the commands take on the one that they need.
    monkeypatch.setenv("LEDGER_DATABASE_URL", superuser(ledger_url))
    monkeypatch.setenv("LEDGER_HOME", str(tmp_path))
    monkeypatch.setattr("ledger_assets.storage.database.ensure_databases", lambda _: None)
    monkeypatch.setattr("ledger_assets.storage.migrations.migrate", lambda _: None)
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


def test_every_word_of_every_command_is_taken_literally_or_refused(
    run: Callable[..., Result], ledger_url: str, tmp_path: Path
) -> None:
    """A new command is covered by being there: its parameters are read from it."""
    assert len(WORDS) > 10
    before = scenario.fingerprint(ledger_url)
    payloads = ("".join(SQL), "".join(OUTPUT[1:]), OUTPUT[0], "a\0b", "a\udcffb", "9" * 30)
    with nothing_injected(ledger_url):
        for (name, parameter), payload in itertools.product(WORDS, payloads):
            result = run(name, *_words(main.commands[name], parameter, payload, tmp_path))
            what = (name, parameter.name, payload)
            assert isinstance(result.exception, SystemExit | None), (what, result.exception)
            assert result.exit_code in {0, 1, 2, 3}, what
            assert not CONTROL & set(result.output), (what, result.output)
    assert scenario.fingerprint(ledger_url) == before


def _words(command: click.Command, at: click.Parameter, payload: str, folder: Path) -> list[str]:
    words = []
    for parameter in command.params:
        if parameter is not at and not parameter.required:
            continue
        word = _typical(parameter, folder)
        if parameter is at:
            word = payload
            if isinstance(parameter.type, click.Path):  # a path of this name, in the folder of the test
                word = payload.replace("/", "_")[:80]
                if parameter.type.exists and not set("\0\udcff") & set(word):
                    (folder / word).write_text(",".join(SOURCE_COLUMNS))
        option = [opt for opt in parameter.opts if opt.startswith("--")]
        words.append(f"{option[0]}={word}" if option else word)
    options = [word for word in words if word.startswith("--") and "=" in word]
    return [*options, "--", *(word for word in words if word not in options)]  # a payload may begin with a dash


def _typical(parameter: click.Parameter, folder: Path) -> str:
    match parameter.type:
        case click.Choice() as choice:
            return str(choice.choices[0])
        case click.Path() as path:
            return str(next(folder.glob("*.csv")) if path.exists else folder / "out.csv")
        case click.types.IntParamType():
            return "1"
        case kind if kind.name == "YYYY-MM":
            return scenario.FIRST_PERIOD
        case _:
            return "x"


def test_a_reason_is_stored_as_it_was_written(run: Callable[..., Result], ledger_url: str) -> None:
    reason = " ".join(SQL)
    with nothing_injected(ledger_url):
        assert run("acknowledge-rejections", scenario.FIRST_PERIOD, "--reason", reason).exit_code == 0
    assert scenario.value_of(ledger_url, "SELECT resolution FROM source.rejected_row") == reason


# ------------------------------------------------------------------------------------------ functions of Python


NO_MONTHS = (*SQL, "a\0b", "a\udcffb", "2024-1", "２０２４-01", "2024-01\n", "0000-01", "9999-12")


@pytest.mark.parametrize("payload", NO_MONTHS, ids=range(len(NO_MONTHS)))  # as they are they do not fit into an id
def test_what_is_no_month_gets_into_no_path_and_no_table_name(ledger_url: str, tmp_path: Path, payload: str) -> None:
    settings = Settings(home=tmp_path)
    file = scenario.generated(tmp_path, scenario.FIRST_PERIOD)
    files = sorted(tmp_path.rglob("*"))
    with nothing_injected(ledger_url):
        for attempt in (
            lambda: inbox(settings, payload),
            lambda: report_path(tmp_path, payload),
            lambda: scenario.load(ledger_url, file, payload),
        ):
            with pytest.raises(LedgerError):
                attempt()
    assert sorted(tmp_path.rglob("*")) == files


def test_batches_of_any_name_actor_and_rule_set_are_refused_or_recorded_literally(ledger_url: str) -> None:
    scenario.store_rules(ledger_url)
    good = {"period": scenario.FIRST_PERIOD, "first_period": scenario.FIRST_PERIOD, "rule_set": "combined",
            "rule_version": 1, "performed_by": "tester"}  # fmt: skip
    with nothing_injected(ledger_url), connect(ledger_url) as connection:
        for payload in (*SQL, "a\0b", "a\udcffb"):
            for name in ("period", "kind", "rule_set", "performed_by", "run_id", "first_period"):
                with (
                    contextlib.suppress(LedgerError, psycopg.errors.IntegrityError),
                    connection.transaction(force_rollback=True),
                ):
                    found = batches.open_batch(connection, **(good | {name: payload}))
                    assert found is not None
                    if name == "performed_by":
                        assert found.started_by == payload
            for attempt in (  # each is called in its own round
                lambda: batches.batch(connection, payload),  # noqa: B023
                lambda: batches.post_batch(connection, payload, first_period=payload, performed_by=payload),  # noqa: B023
                lambda: batches.take_snapshot(connection, payload, first_period="2024-01", performed_by="tester"),  # noqa: B023
                lambda: rules.usable(connection, payload),  # noqa: B023
                lambda: rules.approve(connection, payload, 1, approved_by=payload, content_hash=payload),  # noqa: B023
                lambda: source_loads.withdraw(connection, 1, reason=payload, by=payload),  # noqa: B023
                lambda: load_rule_set(payload),  # noqa: B023
            ):
                with pytest.raises(LedgerError):
                    attempt()
                connection.rollback()


def test_a_failure_is_recorded_whatever_its_message_holds(staged_url: str) -> None:
    batch = scenario.batch_of(staged_url, scenario.FIRST_PERIOD)
    with connect(staged_url) as connection:
        batches.fail(connection, batch, performed_by="tester", reason="a\0b \\u0000 \udcff é")
    reason = scenario.batch_of(staged_url, scenario.FIRST_PERIOD).failure_reason
    assert reason == r"a\u0000b \u0000 \udcff é"


@pytest.mark.parametrize("name", ['x"; DROP DATABASE postgres; --', "it's %s {} \\ é"], ids=["quotes", "formats"])
def test_a_database_of_any_name_can_be_made_and_used(test_server_url: str, name: str) -> None:
    url = with_database(test_server_url, name)
    assert database_name(url) == name
    with connect(test_server_url, autocommit=True) as connection:
        create_database(connection, name)
        try:
            with connect(url) as other:
                assert other.execute("SELECT current_database()").fetchone() == (name,)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
