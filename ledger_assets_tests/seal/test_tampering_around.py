# ruff: noqa: E501, ISC004 (a statement reads better on one line)
"""The same somebody changes what stands around the rows: seals, the chain, tables, the chart, records, balances."""

import pytest

from ledger_assets.storage.verification import verify
from ledger_assets_tests.scenario import execute
from ledger_assets_tests.seal.test_tampering import BATCH, HEADERS, LINES, UNGUARDED

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
