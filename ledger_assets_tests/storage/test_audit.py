"""The audit trail in PostgreSQL: its chain, who can change it (nobody unseen), refused attempts, and the export."""

import csv
import hashlib
import json
import logging
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger_assets.accounting.audit_chain import Witness
from ledger_assets.accounting.errors import LedgerError, RuleError
from ledger_assets.accounting.masking import masked_text
from ledger_assets.accounting.source_mapping import SourceMapping
from ledger_assets.storage.audit import attempting, last_link, record, verify_trail
from ledger_assets.storage.audit_export import COLUMNS, export_trail
from ledger_assets.storage.batches import BatchStateError, PreflightFailed, pass_gates, post_batch
from ledger_assets.storage.database import as_role, connect, with_database
from ledger_assets.storage.export import export
from ledger_assets.storage.migrations import migrate
from ledger_assets.storage.rules import approve
from ledger_assets.storage.source_loads import acknowledge_rejections, ingest, withdraw
from ledger_assets_tests import scenario
from ledger_assets_tests.accounting.test_masking import HARMLESS, WORDS
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.scenario import ACTOR, FIRST_PERIOD, SECOND_PERIOD, execute, rows_of


def findings(url: str, *witnesses: Witness) -> list[str]:
    """What Python and SQL find, which has to be the same apart from the words."""
    with connect(url) as connection:
        found = verify_trail(connection, witnesses)
    with connect(superuser(url)) as connection:
        in_sql = connection.execute("SELECT position, operation_id FROM audit.verify_chain()").fetchall()
    if not witnesses:
        assert [(finding.position, finding.operation_id) for finding in found] == in_sql
    return [finding.problem for finding in found]


def operations(url: str, *names: str) -> list[dict[str, Any]]:
    return rows_of(
        url, "SELECT * FROM audit.batch_operation WHERE operation = ANY(%s) ORDER BY operation_id", list(names)
    )


def forced(url: str, statements: str) -> None:
    """What a superuser can do: take the guards off, change, put them on again."""
    guarded = ("batch_operation", "operation_chain")
    off, on = (
        "; ".join(f"ALTER TABLE audit.{table} {what} TRIGGER USER" for table in guarded)
        for what in ("DISABLE", "ENABLE")
    )
    execute(
        url, f"{off}; SET session_replication_role = replica; {statements}; SET session_replication_role = origin; {on}"
    )


# ------------------------------------------------------------------------------------------------ the chain


def test_every_operation_of_two_closes_is_linked(closed_url: str) -> None:
    assert findings(closed_url) == []
    ((operations_there, links),) = [
        tuple(row.values())
        for row in rows_of(
            closed_url,
            "SELECT (SELECT count(*) FROM audit.batch_operation), (SELECT max(position) FROM audit.operation_chain)",
        )
    ]
    assert operations_there == links > 20


def test_what_there_was_before_the_chain_is_linked_by_the_migration(
    test_server_url: str,
) -> None:
    name = "audit_before_the_chain"
    with connect(test_server_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'".encode())
    url = with_database(test_server_url, name)
    sql = Path(__file__).parents[2] / "sql" / "migrations"
    with connect(url) as connection:
        for file in sorted(sql.glob("000[1-8]_*.sql")):
            connection.execute(file.read_bytes())
        connection.execute(
            "INSERT INTO audit.batch_operation (operation, performed_by, outcome) SELECT 'OLD', 'x', 'SUCCESS' "
            "FROM generate_series(1, 3)"
        )
    try:
        with connect(url) as connection:
            connection.execute((sql / "0009_audit_chain.sql").read_bytes())
            connection.commit()
            record(connection, "VERIFY", performed_by="x")
        assert findings(url) == []
        assert len(rows_of(url, "TABLE audit.operation_chain")) == 4
    finally:
        with connect(test_server_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.mark.parametrize("table", ["batch_operation", "operation_chain"])
@pytest.mark.parametrize("role", ["origin", "replica"])
def test_neither_table_can_be_changed_not_even_by_its_owner(closed_url: str, table: str, role: str) -> None:
    column = "operation_id = operation_id" if table == "operation_chain" else "performed_by = 'nobody'"
    for attempt in (
        f"UPDATE audit.{table} SET {column}",
        f"DELETE FROM audit.{table}",
        f"TRUNCATE audit.{table} CASCADE",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            execute(closed_url, f"SET session_replication_role = {role}; {attempt}")


# What is done, and how many findings there are of it.
TAMPERINGS = {
    "edited": ("UPDATE audit.batch_operation SET performed_by = 'nobody' WHERE operation_id = {third}", 1),
    "one digit of the details": (
        "UPDATE audit.batch_operation SET details = details || '{{\"x\": 1}}' WHERE operation_id = {third}",
        1,
    ),
    "a microsecond": (
        "UPDATE audit.batch_operation SET performed_at = performed_at + interval '1 us' WHERE operation_id = {third}",
        1,
    ),
    "thousands of years": (
        "UPDATE audit.batch_operation SET performed_at = 'infinity' WHERE operation_id = {third}",
        1,
    ),
    "deleted": ("DELETE FROM audit.batch_operation WHERE operation_id = {third}", 1),
    "deleted with its link": (
        (
            "DELETE FROM audit.batch_operation WHERE operation_id = {third};"
            "DELETE FROM audit.operation_chain WHERE position = 3"
        ),
        2,
    ),
    "the first deleted with its link": (
        (
            "DELETE FROM audit.operation_chain WHERE position = 1;"
            "DELETE FROM audit.batch_operation WHERE operation_id = {first}"
        ),
        2,
    ),
    "added without a link": (
        "INSERT INTO audit.batch_operation (operation, performed_by, outcome) VALUES ('POST', 'x', 'SUCCESS')",
        1,
    ),
    "swapped": (
        (
            "UPDATE audit.operation_chain SET operation_id = -1 WHERE position = 2; "
            "UPDATE audit.operation_chain SET operation_id = {second} WHERE position = 3; "
            "UPDATE audit.operation_chain SET operation_id = {third} WHERE position = 2"
        ),
        2,
    ),
    "edited hash": ("UPDATE audit.operation_chain SET hash = sha256('x') WHERE position = 3", 2),
    "edited previous hash": ("UPDATE audit.operation_chain SET previous_hash = sha256('x') WHERE position = 3", 2),
    "moved": ("UPDATE audit.operation_chain SET position = 1000 WHERE position = 3", 5),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_what_a_superuser_does_to_the_trail_is_found(closed_url: str, what: str) -> None:
    statements, count = TAMPERINGS[what]
    names = ("first", "second", "third")
    links = rows_of(closed_url, "SELECT operation_id FROM audit.operation_chain ORDER BY position LIMIT 3")
    forced(closed_url, statements.format(**{name: row["operation_id"] for name, row in zip(names, links, strict=True)}))
    assert len(findings(closed_url)) == count


def test_a_cut_end_is_found_by_what_was_noted_outside(closed_url: str) -> None:
    with connect(closed_url) as connection:
        noted = last_link(connection)
    assert noted is not None
    assert findings(closed_url, noted) == []
    forced(
        closed_url,
        f"DELETE FROM audit.operation_chain WHERE position = {noted.position}; DELETE FROM audit.batch_operation "
        "WHERE operation_id = (SELECT max(operation_id) FROM audit.batch_operation)",
    )
    assert findings(closed_url) == []
    assert findings(closed_url, noted) == ["it was noted outside, and is missing"]


def test_no_setting_of_a_session_changes_a_hash(ledger_url: str) -> None:
    settings = "SET TimeZone = 'Asia/Jakarta'; SET DateStyle = 'German, DMY'; SET bytea_output = 'escape'; "
    settings += "SET IntervalStyle = 'sql_standard'; SET extra_float_digits = -5; SET search_path = pg_temp"
    with connect(as_role(superuser(ledger_url), "auditor")) as connection:
        connection.execute(settings.encode())
        record(connection, "VERIFY", performed_by="é\n~:1", number=1.10, words=["ü", None, True])
        connection.commit()
        assert verify_trail(connection) == []
        assert connection.execute("SELECT * FROM audit.verify_chain()").fetchall() == []
    assert findings(ledger_url) == []


def test_the_chain_is_in_the_order_of_the_commits(ledger_url: str) -> None:
    """Who wrote first and commits last comes last, and neither waits for the other before that."""
    with connect(ledger_url) as early, connect(ledger_url) as late:
        record(early, "VERIFY", performed_by="early")
        record(late, "VERIFY", performed_by="late")
        late.commit()
        early.commit()
    names = rows_of(
        ledger_url,
        "SELECT performed_by FROM audit.operation_chain JOIN audit.batch_operation USING (operation_id) "
        "ORDER BY position DESC LIMIT 2",
    )
    assert [row["performed_by"] for row in names] == ["early", "late"]
    assert findings(ledger_url) == []


def test_many_at_once_make_one_chain(ledger_url: str) -> None:
    def work(name: str) -> None:
        with connect(ledger_url, autocommit=True) as connection:
            for _ in range(15):
                record(connection, "VERIFY", performed_by=name)

    threads = [threading.Thread(target=work, args=(f"thread {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(operations(ledger_url, "VERIFY")) == 60
    assert findings(ledger_url) == []


@pytest.mark.parametrize("level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE])
def test_a_transaction_that_does_not_see_the_end_of_the_chain_is_refused(
    ledger_url: str, level: psycopg.IsolationLevel
) -> None:
    with connect(ledger_url) as old, connect(ledger_url) as new:
        old.isolation_level = level
        record(old, "VERIFY", performed_by="old")
        record(new, "VERIFY", performed_by="new")
        new.commit()
        with pytest.raises(psycopg.errors.SerializationFailure):
            old.commit()
        old.rollback()
        record(old, "VERIFY", performed_by="old")
        old.commit()
    assert [row["performed_by"] for row in operations(ledger_url, "VERIFY")] == ["new", "old"]
    assert findings(ledger_url) == []


# ------------------------------------------------------------------------------------------------ what is recorded


def test_a_row_says_who_from_where_and_in_which_role(ledger_url: str) -> None:
    with connect(superuser(ledger_url)) as connection:
        (login,) = connection.execute("SELECT session_user::text").fetchone() or ("",)
        for role in ("finance_viewer", "NONE"):
            connection.execute(f"SET ROLE {role}".encode())
            record(connection, "VERIFY", performed_by="siti")
    assumed, own = operations(ledger_url, "VERIFY")
    assert own["client_agent"].startswith(f"ledger-assets[{os.getpid()}]@")
    assert (own["performed_by"], own["outcome"]) == ("siti", "SUCCESS")
    assert (assumed["database_role"], assumed["role_taken"]) == (login, "finance_viewer")
    assert (own["database_role"], own["role_taken"]) == (login, None)


def test_the_migration_recorded_itself(ledger_url: str) -> None:
    (row,) = operations(ledger_url, "MIGRATE")
    assert row["details"]["before"] is None
    assert row["details"]["after"] >= "0009"
    migrate(ledger_url)
    assert len(operations(ledger_url, "MIGRATE")) == 1


def test_loads_rules_withdrawals_and_acknowledgements_record_themselves(ledger_url: str, tmp_path: Path) -> None:
    scenario.store_rules(ledger_url)
    load = scenario.deliver(ledger_url, FIRST_PERIOD, folder=tmp_path, defects=["negative_amount"])
    with connect(ledger_url) as connection:
        acknowledge_rejections(connection, FIRST_PERIOD, reason="ask budi@example.com", by="dewi")
        withdraw(connection, load.load_id, reason="call 0812-3456-7890", by="siti")
    found = operations(ledger_url, "STORE_RULES", "APPROVE_RULES", "LOAD", "ACKNOWLEDGE", "WITHDRAW")
    names = [row["operation"] for row in found]
    assert names[-3:] == ["LOAD", "ACKNOWLEDGE", "WITHDRAW"]
    assert set(names[:-3]) == {"STORE_RULES", "APPROVE_RULES"}
    loaded, acknowledged, withdrawn = found[-3:]
    assert (loaded["performed_by"], loaded["details"]["accepted"], loaded["details"]["rejected"]) == (ACTOR, 59, 1)
    assert (acknowledged["performed_by"], acknowledged["details"]) == ("dewi", {"rows": 1, "reason": "ask [e-mail]"})
    assert (withdrawn["state_before"], withdrawn["state_after"]) == ("LOADED", "WITHDRAWN")
    assert withdrawn["details"] == {"load_id": load.load_id, "reason": "call ****7890"}
    kept = rows_of(ledger_url, "SELECT withdrawal_reason FROM source.load")
    assert kept == [{"withdrawal_reason": "call 0812-3456-7890"}]
    assert findings(ledger_url) == []


def test_an_approval_by_hand_is_recorded_too(ledger_url: str) -> None:
    scenario.store_rules(ledger_url)
    execute(ledger_url, "UPDATE acct.rule_set SET approved_by = NULL, approved_at = NULL WHERE rule_set = 'combined'")
    execute(ledger_url, "UPDATE acct.rule_set SET approved_by = 'eve', approved_at = now() WHERE rule_set = 'combined'")
    assert [
        (row["operation"], row["performed_by"] == "eve")
        for row in operations(ledger_url, "CHANGE_RULES", "APPROVE_RULES")
    ][-2:] == [("CHANGE_RULES", False), ("APPROVE_RULES", True)]


def test_gates_and_exports_are_recorded(closed_url: str, tmp_path: Path) -> None:
    gates = operations(closed_url, "GATES")
    assert [(row["batch_id"], row["outcome"]) for row in gates] == [
        (f"{FIRST_PERIOD}-MONTHEND", "SUCCESS"),
        (f"{SECOND_PERIOD}-MONTHEND", "SUCCESS"),
    ]
    assert gates[0]["details"]["verdicts"]["record_count"] == {"passed": True, "expected": "60", "actual": "60"}
    with connect(closed_url) as connection:
        export(connection, FIRST_PERIOD, tmp_path / "january", notation="hledger", performed_by="siti")
    (row,) = operations(closed_url, "EXPORT")
    assert (row["performed_by"], row["period"], row["details"]) == (
        "siti",
        FIRST_PERIOD,
        {"format": "hledger", "entries": 60},
    )


BOOKS = ("POST", "STATE", "ROLLBACK", "CLOSE_PERIOD", "LOAD", "APPROVE_RULES", "CERTIFY", "post", "VERIFY ")


@pytest.mark.parametrize(("role", "forged"), [
    ("finance_viewer", (*BOOKS, "GATES", "MIGRATE")),
    ("batch_operator", (*BOOKS, "GATES", "MIGRATE")),
    ("batch_admin", (*BOOKS, "GATES", "MIGRATE")),
    ("auditor", (*BOOKS, "GATES", "MIGRATE")),
    ("ledger_engine", (*BOOKS, "MIGRATE")),
    ("NONE", BOOKS),
])  # fmt: skip
def test_nobody_can_claim_a_change_of_the_books(closed_url: str, role: str, forged: tuple[str, ...]) -> None:
    before = rows_of(closed_url, "SELECT count(*) FROM audit.batch_operation")
    with connect(superuser(closed_url), autocommit=True) as connection:
        connection.execute(f"SET ROLE {role}".encode())
        for operation in forged:
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="is recorded by what does it"):
                record(connection, operation, performed_by="eve")
    assert rows_of(closed_url, "SELECT count(*) FROM audit.batch_operation") == before


# ------------------------------------------------------------------------------------------------ refused attempts


def refused(url: str) -> list[tuple[str, str | None, str | None, str]]:
    rows = rows_of(
        url, "SELECT operation, batch_id, period, details ->> 'error' AS error FROM audit.batch_operation "
        "WHERE outcome = 'FAILED' ORDER BY operation_id"
    )  # fmt: skip
    return [tuple(row.values()) for row in rows]  # type: ignore[misc]


def test_what_our_functions_refuse_is_recorded(closed_url: str, tmp_path: Path) -> None:
    first, third = f"{FIRST_PERIOD}-MONTHEND", "2024-04"
    with pytest.raises(PreflightFailed):
        scenario.opened(closed_url, third)
    with connect(closed_url) as connection:
        batch = scenario.batch_of(closed_url, FIRST_PERIOD)
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            pass_gates(connection, batch, performed_by="eve")
        with pytest.raises(BatchStateError):
            post_batch(connection, "no-such-batch", first_period=FIRST_PERIOD, performed_by="eve")
        with pytest.raises(LedgerError):
            withdraw(connection, 1, reason="x", by="eve")
        with pytest.raises(RuleError):
            approve(connection, "combined", 1, approved_by="eve", content_hash="0" * 64)
        missing = tmp_path / "missing.csv"
        with pytest.raises(LedgerError):
            ingest(connection, missing, period=third, mapping=SourceMapping(), currency=None, loaded_by="eve")
    assert refused(closed_url) == [
        ("INITIATE", None, third, "PreflightFailed"),
        ("STATE", first, FIRST_PERIOD, "ObjectNotInPrerequisiteState"),
        ("POST", "no-such-batch", None, "BatchStateError"),
        ("WITHDRAW", None, None, "LoadRefusedError"),
        ("APPROVE_RULES", None, None, "RuleError"),
        ("LOAD", None, third, "SourceFileError"),
    ]
    (state,) = [row for row in operations(closed_url, "STATE") if row["details"].get("error")]
    assert (state["state_before"], state["state_after"], state["details"]["wanted"]) == (
        "COMMITTED",
        None,
        "VALIDATED",
    )
    assert findings(closed_url) == []


def test_an_attempt_is_recorded_once_and_the_error_goes_on(ledger_url: str) -> None:
    outer, inner = (attempting(ledger_url, name, performed_by="eve") for name in ("ROLLBACK", "REOPEN"))
    with pytest.raises(ValueError, match="Budi"), outer, inner:
        raise ValueError("Budi Santoso")
    (row,) = operations(ledger_url, "ROLLBACK", "REOPEN")
    assert (row["operation"], row["details"]) == ("REOPEN", {"error": "ValueError", "message": "ValueError"})


def test_a_refusal_inside_of_an_open_transaction_is_recorded_all_the_same(ledger_url: str) -> None:
    def fail() -> None:
        with connect(superuser(ledger_url)) as connection:
            connection.execute("CREATE TABLE public.undone ()")
            with attempting(connection, "POST", performed_by="eve"), connection.transaction():
                raise BatchStateError("batch", "no", "nothing")

    with pytest.raises(BatchStateError):
        fail()
    assert refused(ledger_url) == [("POST", None, None, "BatchStateError")]
    assert rows_of(ledger_url, "SELECT to_regclass('public.undone') AS there") == [{"there": None}]


def test_a_failure_to_record_hides_nothing(ledger_url: str, caplog: pytest.LogCaptureFixture) -> None:
    execute(ledger_url, "DROP FUNCTION audit.record_operation")
    caplog.set_level(logging.ERROR)
    with pytest.raises(BatchStateError) as caught, attempting(ledger_url, "POST", performed_by="eve"):
        raise BatchStateError("batch", "no", "nothing")
    assert "could not be recorded" in caught.value.__notes__[0]
    assert "could not be recorded" in caplog.text


def test_masking_is_the_same_in_sql(ledger: psycopg.Connection) -> None:
    for words in [*HARMLESS, *(words for words, _ in WORDS)]:
        assert ledger.execute("SELECT audit.masked(%s::text)", [words]).fetchone() == (masked_text(words),)


# ------------------------------------------------------------------------------------------------ the export


def check_offline(file: Path) -> list[dict[str, Any]]:
    """What docs/audit-trail.md tells an auditor to do, with nothing of ours."""
    order = "operation_id batch_id period operation performed_by performed_at client_address client_agent database_role"
    order += " role_taken state_before state_after outcome details"
    epoch, before, rows = datetime(1970, 1, 1, tzinfo=UTC), "00" * 32, []
    for position, line in enumerate(file.read_text().splitlines(), start=1):
        row = json.loads(line)
        moment = (datetime.fromisoformat(row["performed_at"]) - epoch) // timedelta(microseconds=1)
        fields = row | {"performed_at": str(moment), "operation_id": str(row["operation_id"])}
        parts = ["ledger_assets audit 1", str(position), before, *(fields[name] for name in order.split())]
        text = "".join("~" if part is None else f"{len(part.encode())}:{part}" for part in parts)
        assert (row["position"], row["previous_hash"]) == (position, before)
        assert row["hash"] == hashlib.sha256(text.encode()).hexdigest()
        before = row["hash"]
        rows.append(row)
    return rows


def test_an_exported_trail_can_be_checked_without_us(closed_url: str, tmp_path: Path) -> None:
    with connect(closed_url) as connection:
        record(connection, "VERIFY", performed_by="=1+1 é\u2028x", about={"a": [1.10, None]})
        connection.commit()
        written = export_trail(connection, tmp_path / "trail.jsonl", notation="jsonl", performed_by="siti")
    rows = check_offline(tmp_path / "trail.jsonl")
    assert len(rows) == written > 20
    assert [file.name for file in tmp_path.iterdir()] == ["trail.jsonl"]
    (recorded,) = operations(closed_url, "EXPORT_AUDIT")
    assert (recorded["performed_by"], recorded["details"]) == (
        "siti",
        {"rows": written, "format": "jsonl", "filters": {}},
    )


def test_the_csv_has_every_column_and_no_formula(closed_url: str, tmp_path: Path) -> None:
    with connect(closed_url) as connection:
        record(connection, "VERIFY", performed_by='=cmd|"x"', period=FIRST_PERIOD)
        connection.commit()
        for filters in (
            {"period": FIRST_PERIOD},
            {"batch_id": f"{FIRST_PERIOD}-MONTHEND"},
            {"since": datetime.now(UTC)},
        ):
            export_trail(
                connection, tmp_path / f"{next(iter(filters))}.csv", notation="csv", performed_by="x", **filters
            )
    with (tmp_path / "period.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert {row["period"] for row in rows} == {FIRST_PERIOD}
    assert rows[-1]["performed_by"] == '\'=cmd|"x"'
    with (tmp_path / "batch_id.csv").open(newline="") as file:
        assert {row["batch_id"] for row in csv.DictReader(file)} == {f"{FIRST_PERIOD}-MONTHEND"}
    assert (tmp_path / "since.csv").read_text().count("\n") < 5


def test_an_export_that_fails_leaves_no_file(closed_url: str, tmp_path: Path) -> None:
    execute(closed_url, "DROP FUNCTION audit.record_operation")
    (tmp_path / "trail.csv").write_text("the one of yesterday")
    with connect(closed_url) as connection, pytest.raises(psycopg.Error):
        export_trail(connection, tmp_path / "trail.csv", notation="csv", performed_by="x")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"trail.csv": "the one of yesterday"}
