# ruff: noqa: E501 (a statement reads better on one line)
"""How a batch comes by its seal: while it is staged, when it is posted, and what keeps it from being posted without."""

from pathlib import Path

import psycopg
import pytest

from ledger_assets.accounting.seal import batch_root, leaf_hash, tree_root
from ledger_assets.storage.batches import BatchStateError
from ledger_assets.storage.database import connect
from ledger_assets.storage.verification import verify
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.scenario import (
    FIRST_PERIOD,
    close_directly,
    deliver,
    execute,
    post,
    rows_of,
    staged,
    store_rules,
    value_of,
)
from ledger_assets_tests.seal.test_tampering import UNGUARDED

ROOTS = "SELECT encode(root, 'hex') AS root FROM ledger.batch_seal ORDER BY batch_id"


def test_the_server_builds_the_same_tree(ledger: psycopg.Connection) -> None:
    for size in [*range(10), 31, 32, 33, 100]:
        leaves = [leaf_hash(bytes([number])) for number in range(size)]
        (root,) = ledger.execute("SELECT ledger.merkle_root(%s::bytea[])", [leaves]).fetchone() or ()
        assert root == tree_root(leaves), size


def test_staging_again_takes_the_old_blocks_along_and_bears_the_same_seal(staged_url: str) -> None:
    first = rows_of(staged_url, "SELECT * FROM control.worker_seal ORDER BY worker_number")
    assert [len(worker["block_hashes"]) for worker in first] == [1, 1, 1]
    batch = staged(staged_url, FIRST_PERIOD)
    assert batch.attempt == 2
    assert rows_of(staged_url, "SELECT * FROM control.worker_seal ORDER BY worker_number") == first
    post(staged_url, batch)
    (seal,) = rows_of(staged_url, "SELECT * FROM ledger.batch_seal")
    assert batch_root(seal["header"]) == seal["root"]


def test_two_databases_with_the_same_books_bear_the_same_seals(
    ledger_url: str, closed_url: str, tmp_path: Path
) -> None:
    """In the second one every identity value was used up before, as after a restore or a rollback."""
    for table in ("acct.chart_of_accounts", "acct.journal_template"):
        column = "account_id" if table.endswith("accounts") else "template_id"
        execute(ledger_url, f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), 500)")
    store_rules(ledger_url)
    deliver(ledger_url, FIRST_PERIOD, folder=tmp_path)
    close_directly(ledger_url, FIRST_PERIOD)
    assert value_of(ledger_url, "SELECT min(account_id) FROM ledger.je_line") > 500
    assert rows_of(ledger_url, ROOTS) == rows_of(closed_url, ROOTS)[:1]
    assert verify(ledger_url).verdict == "PROVEN"


def test_an_empty_month_is_sealed_too(closed_url: str) -> None:
    close_directly(closed_url, "2024-03")
    report = verify(closed_url)
    assert (report.verdict, report.batches, report.chain_length) == ("PROVEN", 3, 3)
    header = value_of(closed_url, "SELECT header FROM ledger.batch_seal WHERE batch_id = '2024-03-MONTHEND'")
    assert "\nnumbers -\nentries 0\nlines 0\n" in header


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE acct.chart_of_accounts SET account_type = 'LIABILITY' WHERE account_code = '3100-10'",
        "INSERT INTO acct.chart_of_accounts (account_code, description, account_type, fund) VALUES ('9', 'x', 'ASSET', 'OPERATOR')",
        "UPDATE acct.journal_template SET description = description || '!'",
    ],
)
def test_a_batch_whose_chart_changed_is_staged_again(staged_url: str, change: str) -> None:
    batch = staged(staged_url, FIRST_PERIOD)
    execute(staged_url, change)
    with pytest.raises(BatchStateError, match="chart or the templates changed since it was staged"):
        post(staged_url, batch)
    assert rows_of(staged_url, "SELECT FROM ledger.seal_chain") == []


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM control.worker_seal WHERE worker_number = 2",
        "UPDATE control.worker_seal SET block_hashes = '{}' WHERE worker_number = 2",
        "UPDATE control.worker_seal SET line_count = line_count - 1 WHERE worker_number = 2",
    ],
)
def test_a_worker_without_its_blocks_is_not_posted(staged_url: str, change: str) -> None:
    batch = staged(staged_url, FIRST_PERIOD)
    execute(staged_url, UNGUARDED + change)
    with pytest.raises(BatchStateError, match="workers 2 have no seal"):
        post(staged_url, batch)


GUARDED = {
    "UPDATE control.worker_seal SET line_count = 0",
    "DELETE FROM control.worker_seal",
    "TRUNCATE control.worker_seal",
    "UPDATE ledger.batch_seal SET header = ''",
    "DELETE FROM ledger.batch_seal",
    "TRUNCATE ledger.batch_seal",
    "UPDATE ledger.seal_chain SET position = 7",
    "DELETE FROM ledger.seal_chain",
    "TRUNCATE ledger.seal_chain",
    "UPDATE ledger.seal_dictionary SET content = ''",
    "TRUNCATE ledger.seal_dictionary CASCADE",
    "INSERT INTO ledger.batch_before_seals VALUES ('2024-01-MONTHEND')",
}


def test_seals_refuse_changes(closed_url: str) -> None:
    with connect(superuser(closed_url), autocommit=True) as connection:
        for statement in sorted(GUARDED):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="never change"):
                connection.execute(statement.encode())


def test_a_batch_that_was_rolled_back_is_proven_where_it_lies(closed_url: str) -> None:
    leaves = rows_of(
        closed_url,
        "SELECT header_leaf::text, line_leaf::text FROM control.batch_worker WHERE batch_id = '2024-02-MONTHEND'",
    )
    moves = "".join(
        f"ALTER TABLE ledger.{root}_2024_02 DETACH PARTITION {leaf}; ALTER TABLE {leaf} SET SCHEMA quarantine;"
        for row in leaves
        for root, leaf in (("je_header", row["header_leaf"]), ("je_line", row["line_leaf"]))
    )
    execute(
        closed_url,
        f"{moves} SELECT control.set_batch_state('2024-02-MONTHEND', 'ROLLED_BACK', 'tester');"
        "SELECT ledger.append_to_chain('ROLLED_BACK', '2024-02-MONTHEND');"
        "UPDATE control.period SET status = 'OPEN', closed_at = NULL WHERE period = '2024-02';"
        "DELETE FROM ledger.account_balance_snapshot WHERE period = '2024-02'",
    )
    report = verify(closed_url)
    assert (report.verdict, report.differences) == ("PROVEN", [])
    assert (report.batches, report.chain_length) == (2, 3)
    execute(
        closed_url,
        UNGUARDED + "UPDATE quarantine.je_line_2024_02_monthend_a1_w001 SET amount = amount + 1 WHERE je_number = 1",
    )
    assert verify(closed_url).verdict == "DIFFERENT"


def test_whoever_rewrites_rows_and_chain_leaves_another_last_hash(closed_url: str) -> None:
    """The one thing that only a witness outside can tell (docs/seal.md)."""
    kept = verify(closed_url).chain_head
    leaf = "ledger.je_header_2024_02_monthend_a1_w003"
    execute(
        closed_url,
        UNGUARDED
        + f"UPDATE {leaf} SET source_id = source_id || 'X' WHERE je_number = (SELECT max(je_number) FROM {leaf})",
    )
    found = verify(closed_url)
    assert found.verdict == "DIFFERENT"
    reseal(closed_url)
    report = verify(closed_url)
    assert report.verdict == "PROVEN"
    assert report.chain_head != kept


def reseal(url: str) -> None:
    """What an insider does who has this program: hash February's third worker again, and all that follows from it."""
    from ledger_assets.accounting.seal import Blocks  # noqa: PLC0415 (nobody else should)
    from ledger_assets.storage.sealed_rows import leaf_name, read_rows  # noqa: PLC0415
    from ledger_assets.storage.verification import read_batches, read_meanings, read_workers  # noqa: PLC0415

    batch_id = "2024-02-MONTHEND"
    with connect(superuser(url)) as connection:
        worker = read_workers(connection, batch_id)[2]
        headers, lines = leaf_name(connection, worker.header_leaf), leaf_name(connection, worker.line_leaf)
        assert headers is not None
        assert lines is not None
        rows, _ = read_rows(connection, headers, lines, "2024-02")
        batch = next(one for one in read_batches(connection) if one.batch_id == batch_id)
        dictionary = read_meanings(connection).dictionary(batch.dictionary or "")
        hashes = Blocks(
            rows.headers,
            rows.lines,
            first=worker.sealed_first or 0,
            entries=worker.sealed_entries or 0,
            dictionary=dictionary,
        ).hashes()
        connection.execute(UNGUARDED.encode())
        connection.execute(
            "UPDATE control.worker_seal SET block_hashes = %s, root = ledger.merkle_root(%s) WHERE batch_id = %s AND worker_number = 3",
            [hashes, hashes, batch_id],
        )
        for rewritten in (
            "UPDATE ledger.batch_seal SET header = ledger.seal_header(batch_id, seal_version, dictionary_hash) WHERE batch_id = %s",
            "UPDATE ledger.batch_seal SET root = sha256(convert_to(header, 'UTF8')) WHERE batch_id = %s",
            "DELETE FROM ledger.seal_chain WHERE batch_id = %s",
            "SELECT ledger.append_to_chain('POSTED', %s)",
        ):
            connection.execute(rewritten.encode(), [batch_id])
