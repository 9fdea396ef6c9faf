# ruff: noqa: E501 (a statement reads better on one line)
"""What a verification looks at besides the rows: the audit trail and the certificates; and the record of it."""

import json
from pathlib import Path

import pytest

from ledger_assets.accounting.verification import Report
from ledger_assets.storage.proving import prove
from ledger_assets.storage.verification import verify
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.scenario import ACTOR, close_directly, deliver, execute, rows_of, value_of
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import SECOND_PERIOD as FEBRUARY
from ledger_assets_tests.seal.test_lawful_changes import MARCH, certify, proven
from ledger_assets_tests.seal.test_tampering import UNGUARDED, rows_findings

OPEN_TRAIL = (
    "ALTER TABLE audit.batch_operation DISABLE TRIGGER USER; ALTER TABLE audit.operation_chain DISABLE TRIGGER USER;"
)
LAST_RECORD = "SELECT period, outcome, performed_by, details FROM audit.batch_operation WHERE operation = 'VERIFY' ORDER BY operation_id DESC LIMIT 1"


@pytest.fixture
def books(closed_url: str, tmp_path: Path) -> str:
    certify(closed_url, tmp_path, FEBRUARY)
    return closed_url


def differences(url: str, home: Path, period: str | None = None) -> list[str]:
    report = prove(url, home, period, performed_by=ACTOR)
    assert report.verdict == ("DIFFERENT" if report.differences else "PROVEN")
    return [str(finding) for finding in report.differences]


def test_an_edited_trail_differs(books: str, tmp_path: Path) -> None:
    execute(
        books, OPEN_TRAIL + "UPDATE audit.batch_operation SET performed_by = 'nobody' WHERE state_after = 'COMMITTED'"
    )
    found = differences(books, tmp_path)
    assert len(found) == 2
    assert all("its operation is not what was hashed" in finding for finding in found)
    assert differences(books, tmp_path, FEBRUARY) == []  # the trail is proven with the whole ledger


def test_a_trail_that_was_cut_off_differs_from_the_certificates(books: str, tmp_path: Path) -> None:
    last = f"(SELECT max(position) FROM audit.operation_chain WHERE position <= {_certified_head(tmp_path)})"
    execute(books, f"{OPEN_TRAIL} DELETE FROM audit.operation_chain WHERE position >= {last};"
            "DELETE FROM audit.batch_operation o WHERE NOT EXISTS (SELECT FROM audit.operation_chain c WHERE c.operation_id = o.operation_id)")  # fmt: skip
    assert any(
        "of the audit chain is gone: the chain was shortened" in finding for finding in differences(books, tmp_path)
    )


def _certified_head(home: Path) -> int:
    document = json.loads((home / "certificates" / f"{FEBRUARY}.json").read_text(encoding="utf-8"))
    return int(document["certificate"]["chain_heads"]["audit"]["position"])


def test_a_published_certificate_tells_of_a_batch_that_left_no_trace(books: str, tmp_path: Path) -> None:
    """Everything of February is taken out of the database, the record of its certificate included."""
    execute(
        books,
        UNGUARDED
        + "DELETE FROM control.worker_seal WHERE batch_id LIKE '2024-02%'; DELETE FROM control.batch_worker WHERE batch_id LIKE '2024-02%';"
        "DELETE FROM ledger.batch_seal WHERE batch_id LIKE '2024-02%'; DELETE FROM ledger.seal_chain WHERE batch_id LIKE '2024-02%';"
        "DELETE FROM control.batch WHERE period = '2024-02'; DELETE FROM ledger.close_certificate WHERE period = '2024-02'",
    )
    found = differences(books, tmp_path, FEBRUARY)
    for problem in (
        "the ledger has no record of it",
        "batch 2024-02-MONTHEND was posted then, now it is gone",
        "link 2 of the seal chain is gone: the chain was shortened",
    ):
        assert any(finding.startswith(f"certificate of {FEBRUARY}") and problem in finding for finding in found)


def test_the_result_goes_into_the_trail(books: str, tmp_path: Path) -> None:
    proven(books, tmp_path)
    (record,) = rows_of(books, LAST_RECORD)
    assert (record["period"], record["outcome"], record["performed_by"]) == (None, "SUCCESS", ACTOR)
    assert (record["details"]["verdict"], record["details"]["entries"]) == ("PROVEN", 120)
    assert record["details"]["seal_chain"].startswith("2 ")
    execute(
        books,
        UNGUARDED + "UPDATE ledger.je_header SET je_date = je_date + 1 WHERE period = '2024-02' AND je_number = 3",
    )
    found = differences(books, tmp_path, FEBRUARY)
    (record,) = rows_of(books, LAST_RECORD)
    assert (record["period"], record["outcome"], record["details"]["findings"]) == (FEBRUARY, "FAILED", len(found))
    assert "je_date" not in str(record["details"])  # which rows, the report says; the trail holds no data


def test_who_may_not_read_the_trail_is_told_so_and_the_rest_is_looked_at(books: str, tmp_path: Path) -> None:
    execute(
        books,
        "CREATE ROLE deaf; GRANT deaf TO CURRENT_USER; GRANT auditor TO deaf; REVOKE SELECT ON audit.operation_chain FROM auditor;"
        "REVOKE EXECUTE ON FUNCTION audit.record_operation FROM auditor",
    )
    try:
        report: Report = prove(f"{superuser(books)}&options=-crole%3Ddeaf", tmp_path, performed_by=ACTOR)
        assert (report.verdict, report.entries, report.differences) == ("INCOMPLETE", 120, [])
        told = " / ".join(str(finding) for finding in report.not_looked_at)
        assert "the audit trail: permission denied for table operation_chain" in told
        assert "could not be recorded in it: permission denied for function record_operation" in told
    finally:
        execute(books, "DROP OWNED BY deaf; DROP ROLE deaf")


def test_rows_of_a_late_load_are_named_exactly(closed_url: str, tmp_path: Path) -> None:
    """They lie in the month of their delivery, their entries in the one that took them."""
    deliver(closed_url, JANUARY, folder=tmp_path, seed=9, rows=10)
    deliver(closed_url, MARCH, folder=tmp_path, rows=10)
    close_directly(closed_url, MARCH)
    assert verify(closed_url).verdict == "PROVEN"
    late = value_of(
        closed_url, "SELECT min(je_number) FROM ledger.je_header WHERE period = '2024-03' AND original_date IS NOT NULL"
    )
    change = f"SET amount = amount + 1 WHERE period = '2024-03' AND je_number = {late} AND line_number = 1"
    execute(closed_url, f"{UNGUARDED} UPDATE ledger.je_line {change}")
    (found,) = rows_findings(verify(closed_url).differences)
    assert [(row["entry"], row["line"], row["column"]) for row in found.rows] == [(str(late), "1", "amount")]
    assert "values differ from what was sealed" in found.problem
