"""What is one incident, and what ends it: the rules, which are in PostgreSQL."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger_assets.storage import periods, proving
from ledger_assets.storage.audit import record
from ledger_assets.storage.corrections import roll_back
from ledger_assets.storage.database import as_role, connect
from ledger_assets.storage.derived_batches import reverse_batch
from ledger_assets.storage.incidents import (
    SEVERITIES,
    IncidentError,
    kinds,
    note_operations,
    report_incident,
    resolve,
    resolve_by_hand,
)
from ledger_assets_tests import scenario
from ledger_assets_tests.logins import batch_admin, superuser
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import SECOND_PERIOD as FEBRUARY

NOW = datetime.now(UTC)


def report(connection: psycopg.Connection, **given: Any) -> int:
    facts = {"kind": "GATE_FAILED", "subject": JANUARY, "period": JANUARY, "what_to_do": "Look.", **given}
    with connection.transaction():
        return report_incident(connection, **facts)


def all_of(url: str) -> list[dict[str, Any]]:
    return scenario.rows_of(url, "SELECT * FROM control.incident ORDER BY incident_id")


def history(url: str) -> list[str]:
    rows = scenario.rows_of(url, "SELECT happened FROM control.incident_history ORDER BY history_id")
    return [row["happened"] for row in rows]


def test_what_is_seen_again_is_the_same_incident(ledger: psycopg.Connection, ledger_url: str):
    numbers = {report(ledger, expected="60", actual=actual) for actual in ("59", "58", "57")}
    (found,) = all_of(ledger_url)
    assert numbers == {found["incident_id"]}
    assert (found["times_seen"], found["expected"], found["actual"]) == (3, "60", "57")
    assert found["title"] == "2024-01: a gate failed"
    assert (found["what_to_do"], found["runbook"]) == ("Look.", "docs/runbook.md#gate-failed")


def test_another_subject_and_what_comes_after_the_end_are_incidents_of_their_own(ledger: psycopg.Connection):
    first, other = report(ledger), report(ledger, subject=FEBRUARY)
    with ledger.transaction():
        assert resolve(ledger, kinds=["GATE_FAILED"], subject=JANUARY) == [first]
        assert resolve(ledger, kinds=["GATE_FAILED"], subject=JANUARY) == []
    assert len({first, other, report(ledger)}) == 3


def test_the_same_occurrence_is_noted_once_also_after_its_end(ledger: psycopg.Connection, ledger_url: str):
    first = report(ledger, occurrence="run:1")
    assert report(ledger, occurrence="run:1") == first
    with ledger.transaction():
        resolve(ledger, period=JANUARY)
    assert report(ledger, occurrence="run:1") == first
    assert [(row["times_seen"], row["resolved_at"] is None) for row in all_of(ledger_url)] == [(1, False)]
    assert report(ledger, occurrence="run:2") != first
    assert history(ledger_url) == ["OPENED", "RESOLVED", "OPENED"]


def test_several_who_see_the_same_at_once_open_one(ledger_url: str):
    barrier = threading.Barrier(4)

    def see(_: int) -> int:
        with connect(ledger_url) as connection:
            barrier.wait()
            return report(connection)

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(see, range(4)))) == 1
    assert [row["times_seen"] for row in all_of(ledger_url)] == [4]


def test_severity_is_that_of_the_kind_unless_given_and_never_falls(ledger: psycopg.Connection, ledger_url: str):
    for severity in (None, "CRITICAL", "INFO"):
        report(ledger, severity=severity)
    report(ledger, kind="CHECK_WARNING")
    assert [row["severity"] for row in all_of(ledger_url)] == ["CRITICAL", "WARNING"]


def test_a_success_ends_only_what_was_seen_before_it(ledger: psycopg.Connection):
    report(ledger, happened_at=NOW)
    report(ledger, happened_at=NOW + timedelta(minutes=10))
    with ledger.transaction():
        assert resolve(ledger, period=JANUARY, before=NOW + timedelta(minutes=5)) == []
        assert len(resolve(ledger, period=JANUARY, before=NOW + timedelta(minutes=11))) == 1


def test_a_close_ends_what_a_close_can_end(ledger: psycopg.Connection, ledger_url: str):
    for kind in ("GATE_FAILED", "CLOSE_OVERDUE", "CHECK_WARNING", "ARCHIVE_FAILED"):
        report(ledger, kind=kind)
    with ledger.transaction():
        resolve(ledger, period=JANUARY, how_it_ends="CLOSE")
    open_ones = {row["kind"] for row in all_of(ledger_url) if row["resolved_at"] is None}
    assert open_ones == {"CHECK_WARNING", "ARCHIVE_FAILED"}


def test_personal_data_is_masked_whoever_reports(ledger: psycopg.Connection, ledger_url: str):
    personal = "putri.lestari@example.co.id, +62 813 7776 6655, account 3174019988776655"
    report(ledger, subject=personal, title=personal, expected=personal, actual=personal, what_to_do=personal,
           check=personal, details={"detail": personal})  # fmt: skip
    found = str(all_of(ledger_url))
    assert "[e-mail]" in found
    for needle in ("lestari", "7776", "31740199"):
        assert needle not in found


@pytest.mark.parametrize("wrong", [{"kind": "NO_SUCH"}, {"subject": ""}, {"severity": "LOUD"}])
def test_what_makes_no_incident_is_refused(ledger: psycopg.Connection, wrong: dict[str, str]):
    with pytest.raises(psycopg.Error):
        report(ledger, **wrong)


def test_history_is_append_only_for_everybody(ledger: psycopg.Connection, ledger_url: str):
    report(ledger)
    for attempt in ("UPDATE control.incident_history SET detail = 'x'", "DELETE FROM control.incident_history"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            scenario.execute(ledger_url, attempt)


def test_who_is_on_call_says_that_it_is_over(ledger: psycopg.Connection, ledger_url: str):
    number = report(ledger)
    with connect(as_role(superuser(ledger_url), "batch_operator")) as operator:
        with pytest.raises(IncidentError, match="no reason was given"):
            resolve_by_hand(operator, number, reason=" ", performed_by="siti")
        resolve_by_hand(operator, number, reason="the file was wrong", performed_by="siti")
        with pytest.raises(IncidentError, match="it is over already"):
            resolve_by_hand(operator, number, reason="again", performed_by="siti")
    trail = scenario.rows_of(
        ledger_url, "SELECT outcome, performed_by FROM audit.batch_operation WHERE operation = 'RESOLVE_INCIDENT'"
    )
    assert sorted(row["outcome"] for row in trail) == ["FAILED", "FAILED", "SUCCESS"]
    with connect(as_role(superuser(ledger_url), "finance_viewer")) as viewer, pytest.raises(psycopg.Error):
        resolve_by_hand(viewer, number, reason="x", performed_by="eve")


def test_every_kind_has_a_severity_and_says_what_to_do(ledger: psycopg.Connection):
    found = {kind["kind"]: kind for kind in kinds(ledger)}
    assert len(found) == 13
    for kind in found.values():
        assert kind["severity"] in SEVERITIES
        assert len(kind["what_to_do"]) > 40


# ------------------------------------------------------------------------------------------------ the audit trail


def look(url: str) -> tuple[int, int, int]:
    with connect(url) as connection:
        return note_operations(connection, performed_by="sensor")


def told(url: str) -> list[tuple[str, str, str]]:
    return [(row["kind"], row["title"], row["actual"]) for row in all_of(url)]


def test_a_rollback_and_a_reopening_are_told_once_and_are_over(closed_url: str):
    look(closed_url)
    before = all_of(closed_url)
    assert before == []
    with connect(batch_admin(closed_url)) as connection:
        roll_back(connection, "2024-02-MONTHEND", reason="wrong file", confirmation="2024-02-MONTHEND",
                  performed_by="dewi")  # fmt: skip
        periods.reopen(connection, JANUARY, reason="bordereau missing", performed_by="dewi")
    assert look(closed_url).opened == 2
    assert look(closed_url) == (0, 0, 0)
    assert told(closed_url) == [
        ("ROLLED_BACK", "2024-02: batch 2024-02-MONTHEND was rolled back", "by dewi, reason: wrong file"),
        ("ROLLED_BACK", "2024-01 was reopened", "by dewi, reason: bordereau missing"),
    ]
    assert all(row["resolved_at"] for row in all_of(closed_url))


def test_a_reversal_is_told_with_its_reason(closed_url: str):
    reverse_batch(
        closed_url, "2024-01-MONTHEND", opened_by=batch_admin(closed_url), into_period="2024-03", reason="twice",
        confirmation="2024-01-MONTHEND", first_period=JANUARY, performed_by="dewi",
    )  # fmt: skip
    look(closed_url)
    (found,) = all_of(closed_url)
    assert found["title"] == "2024-03: the reversal 2024-03-REVERSAL was posted"
    assert found["actual"].endswith("reason: twice")


def test_nothing_that_commits_late_is_passed_over(closed_url: str):
    """Ids are given when an operation is written, links when it commits."""
    call = (
        "INSERT INTO audit.batch_operation (period, operation, performed_by, outcome) "
        "VALUES (%s, 'REOPEN_PERIOD', 'dewi', 'SUCCESS')"
    )
    with connect(superuser(closed_url)) as slow, connect(superuser(closed_url)) as quick:
        slow.execute(call, [JANUARY])
        quick.execute(call, [FEBRUARY])
        quick.commit()
        assert look(closed_url).opened == 1
        slow.commit()
    assert look(closed_url).opened == 1


def test_a_verification_that_finds_something_is_critical_until_one_finds_nothing(closed_url: str, tmp_path: Path):
    leaf = scenario.value_of(
        closed_url,
        "SELECT min('ledger.' || relname) FROM pg_class c JOIN control.batch_worker w ON w.line_leaf = c.oid",
    )
    change = f"ALTER TABLE {leaf} DISABLE TRIGGER ALL; UPDATE {leaf} SET amount = amount + 1 WHERE je_number = 1"
    scenario.execute(closed_url, change)
    assert proving.prove(closed_url, tmp_path, performed_by="nightly").exit_code == 2
    look(closed_url)
    (found,) = all_of(closed_url)
    assert (found["kind"], found["severity"], found["resolved_at"]) == ("VERIFY_FAILED", "CRITICAL", None)
    for verdict, ended in (("INCOMPLETE", False), ("PROVEN", True)):
        with connect(closed_url) as connection:
            record(connection, "VERIFY", performed_by="nightly", verdict=verdict)
        look(closed_url)
        assert (all_of(closed_url)[0]["resolved_at"] is not None) == ended, verdict


def test_a_failed_and_a_slow_worker_are_told_once(staged_url: str):
    scenario.execute(
        staged_url,
        "UPDATE control.batch_worker SET status = 'FAILED', error = 'no space left' WHERE worker_number = 1; "
        "UPDATE control.batch_worker SET status = 'RUNNING', records_expected = 25, records_processed = 0, "
        "completed_at = NULL, started_at = now() - interval '1 hour' WHERE worker_number = 2",
    )
    assert look(staged_url).opened == 2
    assert look(staged_url).opened == 0
    assert [(row["kind"], row["severity"]) for row in all_of(staged_url)] == [
        ("WORKER_FAILED", "WARNING"), ("SLOW_WORKER", "WARNING"),
    ]  # fmt: skip
    assert "no space left" in all_of(staged_url)[0]["actual"]
