# ruff: noqa: E501 (a statement reads better on one line)
"""Somebody with all rights, who switches the guards off, changes posted books: each change is found and named.

The months are small (three workers, one block each), so that what is expected can be written down whole.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from ledger_assets.accounting.verification import Finding
from ledger_assets.storage.verification import verify
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.scenario import execute, rows_of, value_of

UNGUARDED = "SET LOCAL session_replication_role = replica;"
HEADERS = "ledger.je_header_2024_02_monthend_a1_w002"
LINES = "ledger.je_line_2024_02_monthend_a1_w002"
BLOCK = "2024-02-MONTHEND, worker 2, block 1"


@dataclass(frozen=True)
class Entry:
    """An entry of February's second worker, and the one after it."""

    number: int
    after: int
    amount: int
    other_account: str

    @classmethod
    def of(cls, url: str) -> "Entry":
        number = value_of(url, f"SELECT min(je_number) + 3 FROM {HEADERS}")
        amount = value_of(url, f"SELECT amount FROM {LINES} WHERE je_number = {number} AND line_number = 1")
        return cls(number, number + 1, amount, "1100-20")


Statements = Callable[[Entry], str]

VALUES: dict[str, tuple[Statements, list[tuple[str, str]]]] = {
    "one cent": (
        lambda e: f"UPDATE {LINES} SET amount = amount + 1 WHERE je_number = {e.number} AND line_number = 1",
        [("1", "amount")],
    ),
    "a side": (
        lambda e: f"UPDATE {LINES} SET amount = -amount WHERE je_number = {e.number} AND line_number = 2",
        [("2", "amount")],
    ),
    "one account": (
        lambda e: (
            f"UPDATE {LINES} SET account_id = (SELECT account_id FROM acct.chart_of_accounts WHERE account_code = '3100-10') "
            f"WHERE je_number = {e.number} AND line_number = 1"
        ),
        [("1", "account")],
    ),
    "an unknown account": (
        lambda e: f"UPDATE {LINES} SET account_id = 999 WHERE je_number = {e.number} AND line_number = 1",
        [("1", "account")],
    ),
    "one date": (
        lambda e: f"UPDATE {HEADERS} SET je_date = je_date + 1 WHERE je_number = {e.number}",
        [("", "je_date")],
    ),
    "a date without end": (
        lambda e: f"UPDATE {HEADERS} SET je_date = 'infinity' WHERE je_number = {e.number}",
        [("", "je_date")],
    ),
    "a source id": (
        lambda e: f"UPDATE {HEADERS} SET source_id = source_id || 'X' WHERE je_number = {e.number}",
        [("", "source_id")],
    ),
    "a source id with everything in it": (
        lambda e: f"UPDATE {HEADERS} SET source_id = E'\",\\n''\\\\.' WHERE je_number = {e.number}",
        [("", "source_id")],
    ),
    "no source id": (
        lambda e: (
            f"ALTER TABLE ledger.je_header ALTER source_id DROP NOT NULL; ALTER TABLE ledger.je_header_2024_02 ALTER source_id DROP NOT NULL;"
            f"ALTER TABLE {HEADERS} ALTER source_id DROP NOT NULL; UPDATE {HEADERS} SET source_id = NULL WHERE je_number = {e.number}"
        ),
        [("", "source_id")],
    ),
    "no amount": (
        lambda e: (
            f"ALTER TABLE ledger.je_line ALTER amount DROP NOT NULL; ALTER TABLE ledger.je_line_2024_02 ALTER amount DROP NOT NULL;"
            f"ALTER TABLE {LINES} ALTER amount DROP NOT NULL; UPDATE {LINES} SET amount = NULL WHERE je_number = {e.number} AND line_number = 1"
        ),
        [("1", "amount")],
    ),
    "a template": (
        lambda e: (
            f"UPDATE {HEADERS} h SET template_id = (SELECT min(t.template_id) FROM acct.journal_template t JOIN acct.journal_template own "
            f"USING (rule_set, rule_version) WHERE own.template_id = h.template_id AND t.template_id <> own.template_id) WHERE je_number = {e.number}"
        ),
        [("", "template")],
    ),
    "the place in the transaction": (
        lambda e: f"UPDATE {HEADERS} SET source_entry = 2 WHERE je_number = {e.number}",
        [("", "source_entry")],
    ),
    "a total": (
        lambda e: f"UPDATE {HEADERS} SET total_amount = total_amount + 1 WHERE je_number = {e.number}",
        [("", "total_amount")],
    ),
    "an original date": (
        lambda e: f"UPDATE {HEADERS} SET original_date = '2024-01-31' WHERE je_number = {e.number}",
        [("", "original_date")],
    ),
    "a deleted line": (
        lambda e: f"DELETE FROM {LINES} WHERE je_number = {e.number} AND line_number = 1",
        [("1", "row")],
    ),
    "a deleted header": (lambda e: f"DELETE FROM {HEADERS} WHERE je_number = {e.number}", [("", "row")]),
    "an added line": (
        lambda e: (
            f"INSERT INTO {LINES} SELECT amount, je_number, 99, account_id, period FROM {LINES} WHERE je_number = {e.number} AND line_number = 1"
        ),
        [("99", "row")],
    ),
    "an added line of the same number": (
        lambda e: (
            f"ALTER TABLE {LINES} DROP CONSTRAINT je_line_2024_02_monthend_a1_w002_pkey;"
            f"INSERT INTO {LINES} SELECT * FROM {LINES} WHERE je_number = {e.number} AND line_number = 1"
        ),
        [("1", "row")],
    ),
    "two lines swapped": (
        lambda e: (
            f"UPDATE {LINES} AS one SET amount = other.amount, account_id = other.account_id FROM {LINES} AS other "
            f"WHERE one.je_number = {e.number} AND other.je_number = {e.number} AND (one.line_number, other.line_number) IN ((1, 2), (2, 1))"
        ),
        [("1", "account"), ("1", "amount"), ("2", "account"), ("2", "amount")],
    ),
    "a line moved within its entry": (
        lambda e: f"UPDATE {LINES} SET line_number = 98 WHERE je_number = {e.number} AND line_number = 1",
        [("1", "row"), ("98", "row")],
    ),
}


@pytest.mark.parametrize("change", VALUES)
def test_a_changed_value_is_named_with_what_was_sealed(sealed_url: str, change: str) -> None:
    statements, expected = VALUES[change]
    entry = Entry.of(sealed_url)
    execute(sealed_url, UNGUARDED + statements(entry))
    report = verify(sealed_url)
    assert report.verdict == "DIFFERENT"
    assert report.not_looked_at == []
    (found,) = [finding for finding in report.differences if finding.what == "rows"]
    assert found.where.startswith(BLOCK)
    assert sorted((row["line"], row["column"]) for row in found.rows) == expected
    assert {row["entry"] for row in found.rows} == {str(entry.number)}
    assert all(row["sealed"] != row["present"] for row in found.rows)
    # Beside the rows only their sums in the balances differ.
    assert {finding.what for finding in report.differences} <= {"rows", "balance"}
    assert verify(sealed_url, "2024-01").verdict == "PROVEN"
    assert verify(sealed_url, "2024-02").verdict == "DIFFERENT"


def test_the_sealed_value_is_told(sealed_url: str) -> None:
    entry = Entry.of(sealed_url)
    execute(sealed_url, UNGUARDED + VALUES["one cent"][0](entry))
    ((row,),) = [finding.rows for finding in verify(sealed_url).differences if finding.what == "rows"]
    assert row["sealed"] == f"{entry.amount / 100:,.2f}"
    assert row["present"] == f"{(entry.amount + 1) / 100:,.2f}"


def test_two_entries_that_exchange_a_cent_are_both_named(sealed_url: str) -> None:
    entry = Entry.of(sealed_url)
    execute(
        sealed_url,
        UNGUARDED + f"UPDATE {LINES} SET amount = amount + CASE je_number WHEN {entry.number} THEN 1 ELSE -1 END "
        f"WHERE je_number IN ({entry.number}, {entry.after}) AND line_number IN (1, 8)",
    )
    (found,) = [finding for finding in verify(sealed_url).differences if finding.what == "rows"]
    assert {row["entry"] for row in found.rows} == {str(entry.number), str(entry.after)}


def test_a_line_moved_to_another_entry_is_missed_in_one_and_found_in_the_other(sealed_url: str) -> None:
    entry = Entry.of(sealed_url)
    execute(
        sealed_url,
        UNGUARDED
        + f"UPDATE {LINES} SET je_number = {entry.after}, line_number = 50 WHERE je_number = {entry.number} AND line_number = 1",
    )
    (found,) = [finding for finding in verify(sealed_url).differences if finding.what == "rows"]
    assert [(row["entry"], row["line"], row["column"]) for row in found.rows] == [
        (str(entry.number), "1", "row"),
        (str(entry.after), "50", "row"),
    ]


def test_two_entries_that_exchange_their_numbers(sealed_url: str) -> None:
    entry = Entry.of(sealed_url)
    a, b = entry.number, entry.after
    swap = f"CASE je_number WHEN {a} THEN {b} ELSE {a} END"
    key = "je_header_2024_02_monthend_a1_w002_pkey"
    execute(
        sealed_url,
        UNGUARDED
        + f"ALTER TABLE {HEADERS} DROP CONSTRAINT {key}; UPDATE {HEADERS} SET je_number = {swap} WHERE je_number IN ({a}, {b});"
        f"ALTER TABLE {HEADERS} ADD CONSTRAINT {key} PRIMARY KEY (je_number)",
    )
    (found,) = [finding for finding in verify(sealed_url).differences if finding.what == "rows"]
    assert {(row["entry"], row["line"]) for row in found.rows} == {(str(a), ""), (str(b), "")}


def test_rows_beyond_the_numbers_of_a_worker_are_found(sealed_url: str) -> None:
    checks = rows_of(
        sealed_url,
        f"SELECT conname FROM pg_constraint WHERE conrelid = '{HEADERS}'::regclass AND contype = 'c' "
        "AND pg_get_constraintdef(oid) LIKE '%%je_number%%'",
    )
    drop = "".join(f"ALTER TABLE {HEADERS} DROP CONSTRAINT {check['conname']};" for check in checks)
    month = "ledger.je_header_2024_02"
    execute(
        sealed_url,
        UNGUARDED + f"ALTER TABLE {month} DETACH PARTITION {HEADERS}; {drop}"
        f"INSERT INTO {HEADERS} SELECT total_amount, je_number + 1000, je_date, template_id, source_entry, period, source_id "
        f"FROM {HEADERS} ORDER BY je_number LIMIT 1",
    )
    differences = verify(sealed_url).differences
    assert "1 rows are outside its numbers" in str(rows_findings(differences)[0])
    assert any("its headers are not attached to the ledger" in str(finding) for finding in differences)


def test_rows_that_say_they_are_of_another_month_are_found(sealed_url: str) -> None:
    checks = rows_of(
        sealed_url,
        f"SELECT conname FROM pg_constraint WHERE conrelid = '{LINES}'::regclass AND contype = 'c' "
        "AND pg_get_constraintdef(oid) LIKE '%%period%%'",
    )
    drop = "".join(f"ALTER TABLE {LINES} DROP CONSTRAINT {check['conname']};" for check in checks)
    execute(
        sealed_url,
        UNGUARDED
        + f"ALTER TABLE ledger.je_line_2024_02 DETACH PARTITION {LINES}; {drop} UPDATE {LINES} SET period = '2024-03'",
    )
    assert any("do not say that they are of 2024-02" in str(finding) for finding in verify(sealed_url).differences)


# ------------------------------------------------------------------------------------------------ without the source

BATCH = "'2024-02-MONTHEND'"
NO_WAY_BACK = UNGUARDED + (
    f"DELETE FROM control.load_batch WHERE batch_id = {BATCH}; DELETE FROM control.batch_worker_slice WHERE batch_id = {BATCH};"
)


def rows_findings(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.what == "rows"]


def test_without_its_source_an_entry_is_named_that_is_visibly_broken(sealed_url: str) -> None:
    entry = Entry.of(sealed_url)
    execute(sealed_url, NO_WAY_BACK + VALUES["one cent"][0](entry))
    (found,) = rows_findings(verify(sealed_url).differences)
    assert found.where.startswith(BLOCK)
    assert [(row["entry"], row["problem"]) for row in found.rows] == [
        (str(entry.number), "its debits do not equal its credits")
    ]


def test_without_its_source_a_change_that_cannot_be_seen_still_names_the_block(sealed_url: str) -> None:
    entry = Entry.of(sealed_url)
    execute(sealed_url, NO_WAY_BACK + VALUES["one date"][0](entry))
    (found,) = rows_findings(verify(sealed_url).differences)
    assert found.where.startswith(BLOCK)
    assert "no entry of it is visibly broken" in found.problem


def test_a_source_that_was_changed_too_proves_nothing(sealed_url: str) -> None:
    entry = Entry.of(sealed_url)
    execute(
        sealed_url,
        UNGUARDED
        + "UPDATE source.txn_source SET txn_id = txn_id || 'X' WHERE period = '2024-02';"
        + VALUES["one cent"][0](entry),
    )
    (found,) = rows_findings(verify(sealed_url).differences)
    assert "what its source gives now is not what was sealed either" in found.problem
    assert [row["entry"] for row in found.rows] == [str(entry.number)]


def test_what_cannot_be_looked_at_is_said_and_is_never_clean(sealed_url: str) -> None:
    execute(
        sealed_url,
        UNGUARDED + f"UPDATE ledger.batch_seal SET seal_version = 2 WHERE batch_id = {BATCH}; "
        f"UPDATE control.worker_seal SET seal_version = 2 WHERE batch_id = {BATCH}",
    )
    report = verify(sealed_url)
    assert (report.verdict, report.exit_code, report.differences) == ("INCOMPLETE", 3, [])
    assert [str(finding) for finding in report.not_looked_at] == [
        "2024-02-MONTHEND: its seal has version 2, which is unknown here"
    ]
    assert verify(sealed_url, "2024-01").verdict == "PROVEN"


def test_a_batch_from_before_the_seals_is_not_proven(sealed_url: str) -> None:
    execute(
        sealed_url,
        UNGUARDED + "TRUNCATE ledger.seal_chain, ledger.batch_seal, control.worker_seal;"
        "INSERT INTO ledger.batch_before_seals SELECT batch_id FROM control.batch",
    )
    report = verify(sealed_url)
    assert (report.verdict, report.differences, len(report.not_looked_at)) == ("INCOMPLETE", [], 3)


def test_who_may_not_read_the_rows_is_told_so(sealed_url: str) -> None:
    execute(
        sealed_url,
        "CREATE ROLE half_blind; GRANT half_blind TO CURRENT_USER; GRANT USAGE ON SCHEMA ledger, control, acct, audit, source TO half_blind;"
        "GRANT SELECT ON ALL TABLES IN SCHEMA ledger, control, acct, audit, source TO half_blind;"
        f"REVOKE SELECT ON {LINES} FROM half_blind",
    )
    half_blind = f"{superuser(sealed_url)}&options=-crole%3Dhalf_blind"
    try:
        report = verify(half_blind)
        assert report.verdict == "INCOMPLETE"
        (found,) = report.not_looked_at
        assert found.where == "2024-02-MONTHEND, worker 2"
        assert "permission denied" in found.problem
        execute(sealed_url, "REVOKE SELECT ON ledger.seal_chain FROM half_blind")
        assert verify(half_blind).verdict == "INCOMPLETE"
    finally:
        execute(sealed_url, "DROP OWNED BY half_blind; DROP ROLE half_blind")
