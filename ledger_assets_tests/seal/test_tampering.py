# ruff: noqa: E501, ISC004 (a statement reads better on one line)
"""Somebody with all rights, who switches the guards off, changes posted books: each change is found and named.

The months are small (three workers, one block each), so that what is expected can be written down whole.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from ledger_assets.accounting.verification import Finding
from ledger_assets.storage.verification import verify
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


# ------------------------------------------------------------------------------------------------ seals, chain, records

BATCH = "'2024-02-MONTHEND'"
NO_WAY_BACK = UNGUARDED + (
    f"DELETE FROM control.load_batch WHERE batch_id = {BATCH}; DELETE FROM control.batch_worker_slice WHERE batch_id = {BATCH};"
)

ELSEWHERE: dict[str, tuple[str, list[str]]] = {
    "a batch is dropped from the middle": (
        f"DROP TABLE {HEADERS}, {LINES};"
        f"DELETE FROM control.worker_seal WHERE batch_id = {BATCH}; DELETE FROM control.batch_worker WHERE batch_id = {BATCH};"
        f"DELETE FROM ledger.batch_seal WHERE batch_id = {BATCH}; DELETE FROM ledger.seal_chain WHERE batch_id = {BATCH};"
        f"DELETE FROM control.batch WHERE batch_id = {BATCH}",
        [
            "chain, position 3: the links from 2 to 2 are missing",
            "chain, position 3: it does not continue the link before it",
            "2024-02-MONTHEND: the audit trail says that it was posted",
            "2024-02: the next number is",
            "ledger.je_header_2024_02_monthend_a1_w001: its rows are in the ledger (je_header_2024_02), but of no posted batch",
        ],
    ),
    "the records of a batch are dropped, its link stays": (
        f"DELETE FROM control.batch_worker WHERE batch_id = {BATCH}; DELETE FROM ledger.batch_seal WHERE batch_id = {BATCH};"
        f"DELETE FROM control.batch WHERE batch_id = {BATCH}",
        ["chain, position 2: batch 2024-02-MONTHEND, POSTED here, has no record"],
    ),
    "the last batch is dropped": (
        "DELETE FROM control.worker_seal WHERE batch_id = '2024-03-MONTHEND'; DELETE FROM control.batch_worker WHERE batch_id = '2024-03-MONTHEND';"
        "DELETE FROM ledger.batch_seal WHERE batch_id = '2024-03-MONTHEND'; DELETE FROM ledger.seal_chain WHERE batch_id = '2024-03-MONTHEND';"
        "DELETE FROM control.batch WHERE batch_id = '2024-03-MONTHEND'; UPDATE control.period SET next_je_number = 1, status = 'OPEN', closed_at = NULL "
        "WHERE period = '2024-03'; DROP TABLE ledger.je_header_2024_03, ledger.je_line_2024_03;"
        "DELETE FROM ledger.account_balance_snapshot WHERE period = '2024-03'",
        ["2024-03-MONTHEND: the audit trail says that it was posted"],
    ),
    "a leaf is dropped": (f"DROP TABLE {LINES}", ["2024-02-MONTHEND, worker 2: its lines are gone"]),
    "a leaf is detached": (
        f"ALTER TABLE ledger.je_line_2024_02 DETACH PARTITION {LINES}",
        ["2024-02-MONTHEND, worker 2: its lines are not attached to the ledger"],
    ),
    "a leaf of nobody is attached": (
        "CREATE TABLE ledger.extra (LIKE ledger.je_line); INSERT INTO ledger.extra VALUES (5, 100000, 1, 1, '2024-02');"
        "ALTER TABLE ledger.je_line_2024_02 ATTACH PARTITION ledger.extra FOR VALUES FROM (100000) TO (100001)",
        ["ledger.extra: its rows are in the ledger (je_line_2024_02), but of no posted batch"],
    ),
    "a month of nobody is attached": (
        "CREATE TABLE ledger.extra (LIKE ledger.je_line); ALTER TABLE ledger.je_line ATTACH PARTITION ledger.extra DEFAULT",
        ["ledger.extra: its rows are in the ledger (je_line), but of no posted batch"],
    ),
    "a leaf is exchanged for a copy": (
        f"CREATE TABLE ledger.copied AS TABLE {LINES}; UPDATE control.batch_worker SET line_leaf = 'ledger.copied' WHERE line_leaf = '{LINES}'::regclass",
        ["2024-02-MONTHEND, worker 2: its lines are not attached", "but of no posted batch"],
    ),
    "a link is edited": (
        "UPDATE ledger.seal_chain SET root = sha256('x') WHERE position = 2",
        [
            "chain, position 2: it was edited: its hash is that of other contents",
            "chain, position 2: the root of batch 2024-02-MONTHEND here is not the one of its seal",
        ],
    ),
    "a link is edited, with its hash": (
        "UPDATE ledger.seal_chain SET hash = sha256('x') WHERE position = 2",
        ["chain, position 2: it was edited", "chain, position 3: it does not continue the link before it"],
    ),
    "the links change places": (
        "ALTER TABLE ledger.seal_chain DROP CONSTRAINT seal_chain_pkey; UPDATE ledger.seal_chain SET position = 5 - position WHERE position > 1",
        ["chain, position 2: it does not continue", "chain, position 2: it was edited", "chain, position 3: it does not continue"],
    ),
    "a batch was never rolled back": (
        "INSERT INTO ledger.seal_chain SELECT 4, 'ROLLED_BACK', batch_id, root, hash, sha256('x') FROM ledger.seal_chain WHERE position = 3",
        ["2024-03-MONTHEND: it is COMMITTED, but the chain says POSTED, then ROLLED_BACK of it", "chain, position 4: it was edited"],
    ),
    "a root is edited": (
        f"UPDATE ledger.batch_seal SET root = sha256('x') WHERE batch_id = {BATCH}",
        ["2024-02-MONTHEND: its root is not the hash of its header", "chain, position 2: the root of batch 2024-02-MONTHEND here"],
    ),
    "a seal's header is edited": (
        f"UPDATE ledger.batch_seal SET header = replace(header, 'kind MONTHEND', 'kind YEAREND') WHERE batch_id = {BATCH}",
        ["2024-02-MONTHEND: its root is not the hash of its header", "2024-02-MONTHEND: kind: sealed YEAREND, now MONTHEND"],
    ),
    "a seal is gone": (
        f"DELETE FROM ledger.batch_seal WHERE batch_id = {BATCH}",
        ["2024-02-MONTHEND: it is COMMITTED and has no seal", "chain, position 2: batch 2024-02-MONTHEND, POSTED here, has no seal"],
    ),
    "a block hash is edited": (
        f"UPDATE control.worker_seal SET block_hashes[1] = sha256('x') WHERE batch_id = {BATCH} AND worker_number = 2",
        [
            "2024-02-MONTHEND, worker 2: the hashes of its blocks do not make up its root",
            "2024-02-MONTHEND, worker 2: the rows are as sealed, the hashes of blocks 1 are not",
        ],
    ),
    "the root of a worker is edited": (
        f"UPDATE control.worker_seal SET root = sha256('x') WHERE batch_id = {BATCH} AND worker_number = 2",
        [
            "2024-02-MONTHEND, worker 2: the hashes of its blocks do not make up its root",
            "2024-02-MONTHEND: the roots of its workers are not those that were sealed",
        ],
    ),
    "the seal of a worker is gone": (
        f"DELETE FROM control.worker_seal WHERE batch_id = {BATCH} AND worker_number = 2",
        ["2024-02-MONTHEND, worker 2: its seal is gone", "2024-02-MONTHEND: workers: sealed 3, now 2"],
    ),
    "a dictionary is edited": (
        "UPDATE ledger.seal_dictionary SET content = replace(content, 'TABARRU', 'TANAHUD')",
        ["2024-02-MONTHEND: its dictionary was edited or is gone"],
    ),
    "an account joins another fund": (
        "UPDATE acct.chart_of_accounts SET fund = 'TANAHUD' WHERE account_code = '4110-20'",
        ["account 4110-20: sealed as TABARRU, INCOME, now TANAHUD, INCOME"],
    ),
    "an account gets another type": (
        "UPDATE acct.chart_of_accounts SET account_type = 'EQUITY' WHERE account_code = '4110-20'",
        ["account 4110-20: sealed as TABARRU, INCOME, now TABARRU, EQUITY"],
    ),
    "an account gets another code": (
        "UPDATE acct.chart_of_accounts SET account_code = '4119-20' WHERE account_code = '4110-20'",
        ["account 4110-20: sealed as TABARRU, INCOME, now not there", "2024-02-MONTHEND, worker 2, block 1"],
    ),
    "a template is described otherwise": (
        "UPDATE acct.journal_template SET description = 'gift' WHERE template_code = 'CLAIM-COMBINED'",
        ["template CLAIM-COMBINED v1 of combined v1: sealed as CLAIM, "],
    ),
    "the record of a batch says another count": (
        f"UPDATE control.batch SET entry_count = entry_count + 1 WHERE batch_id = {BATCH}", ["2024-02-MONTHEND: entries: sealed "]
    ),
    "the record of a batch says other numbers": (
        f"UPDATE control.batch SET last_je_number = last_je_number + 1 WHERE batch_id = {BATCH}", ["2024-02-MONTHEND: numbers: sealed "]
    ),
    "the record of a batch says another source": (
        f"UPDATE control.batch SET source_checksum = 1 WHERE batch_id = {BATCH}", ["2024-02-MONTHEND: source: sealed "]
    ),
    "the record of a worker says other numbers": (
        f"UPDATE control.batch_worker SET last_je_number = last_je_number - 1 WHERE batch_id = {BATCH} AND worker_number = 2",
        ["2024-02-MONTHEND, worker 2: numbers, entries and lines: sealed "],
    ),
    "the rules were approved with other content": (
        "UPDATE acct.rule_set SET content_hash = repeat('0', 64) WHERE rule_set = 'combined'", ["2024-02-MONTHEND: rules: sealed "]
    ),
    "numbers are given out again": (
        "UPDATE control.period SET next_je_number = 5 WHERE period = '2024-02'", ["2024-02: the next number is 5, but the last sealed entry has "]
    ),
    "the reserved numbers are edited": (
        f"UPDATE control.sequence_reservation_log SET first_je_number = 2, entry_count = entry_count - 1 WHERE batch_id = {BATCH}",
        ["2024-02-MONTHEND: numbers sealed "],
    ),
    "a batch is said to be rolled back": (
        f"UPDATE control.batch SET state = 'ROLLED_BACK' WHERE batch_id = {BATCH}",
        ["2024-02-MONTHEND: it is ROLLED_BACK, but the chain says POSTED of it", "but of no posted batch"],
    ),
    "a staged batch is said to be posted": (
        "INSERT INTO control.batch (batch_id, period, kind, state, rule_set, rule_version, first_je_number, started_by) "
        "VALUES ('2024-03-MONTHEND-02', '2024-03', 'MONTHEND', 'COMMITTED', 'combined', 1, 1, 'nobody')",
        ["2024-03-MONTHEND-02: it is COMMITTED and has no seal"],
    ),
    "a balance is edited": (
        "UPDATE ledger.account_balance_snapshot SET debit = debit + 1 WHERE period = '2024-02' AND account_code = '1100-10'",
        ["2024-02, account 1100-10: debit "],
    ),
    "a balance carried forward is edited": (
        "UPDATE ledger.account_balance_snapshot SET opening_balance = opening_balance + 1 WHERE period = '2024-02' AND account_code = '1100-10'",
        ["2024-02, account 1100-10: opening "],
    ),
    "a balance is gone": (
        "DELETE FROM ledger.account_balance_snapshot WHERE period = '2024-03' AND account_code = '1100-10'", ["2024-03, account 1100-10: opening "]
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", ELSEWHERE)
def test_a_change_around_the_rows_is_found_and_named(sealed_url: str, change: str) -> None:
    statements, expected = ELSEWHERE[change]
    execute(sealed_url, UNGUARDED + statements)
    report = verify(sealed_url)
    assert report.verdict == "DIFFERENT"
    said = [str(finding) for finding in report.differences]
    for fragment in expected:
        assert any(fragment in text for text in said), (fragment, said)


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
    try:
        report = verify(f"{sealed_url}&options=-crole%3Dhalf_blind")
        assert report.verdict == "INCOMPLETE"
        (found,) = report.not_looked_at
        assert found.where == "2024-02-MONTHEND, worker 2"
        assert "permission denied" in found.problem
        execute(sealed_url, "REVOKE SELECT ON ledger.seal_chain FROM half_blind")
        assert verify(f"{sealed_url}&options=-crole%3Dhalf_blind").verdict == "INCOMPLETE"
    finally:
        execute(sealed_url, "DROP OWNED BY half_blind; DROP ROLE half_blind")
