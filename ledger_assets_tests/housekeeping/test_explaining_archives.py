"""An auditor asks about last year: the files answer as the tables did, or nothing is answered."""

from hashlib import sha256
from typing import Any, NamedTuple

import polars as pl
import pytest

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.explanation import entry_name
from ledger_assets.storage import explaining
from ledger_assets.storage.database import connect
from ledger_assets_tests.housekeeping.conftest import FEBRUARY, JANUARY, MARCH, Books, archived
from ledger_assets_tests.housekeeping.test_archived_files import lines_of, one_amount
from ledger_assets_tests.scenario import execute, rows_of, value_of

SEALED = "against the seal of 2024-01-MONTHEND, link 1 of the chain"
HASHED = "by the SHA-256 that was recorded when it was archived"


class Asked(NamedTuple):
    """Books, and the entries and transactions of them that are asked for."""

    books: Books
    names: list[str]
    transactions: list[str]


def explained(asked: Asked) -> dict[str, Any]:
    """Every answer on the entries of three months: late ones, a reversal, and accounts page by page."""
    answers: dict[str, Any] = {}
    books, names, transactions = asked
    with connect(books.url) as connection:
        for name in names:
            answers[name] = explaining.explained_entry(connection, entry_name(name), books.archive)
        for txn_id in transactions:
            answers[txn_id] = explaining.explained_transaction(connection, txn_id, books.archive)
        for period in (JANUARY, FEBRUARY, MARCH):
            for account, fund in (("1100-10", "OPERATOR"), ("5110-20", "TABARRU")):
                for first in (1, 40):
                    answers[f"{period} {account} {first}"] = explaining.explained_balance(
                        connection, account, fund, period, first, books.archive
                    )
    return answers


@pytest.fixture
def asked(books: Books) -> Asked:
    every = rows_of(books.url, "SELECT period, je_number, source_id FROM ledger.je_header WHERE period < '2024-04'")
    some = [row for row in every if row["je_number"] % 19 in (0, 1) or row["je_number"] > 60]
    names = [f"JE-{row['period']}-{row['je_number']:06d}" for row in some]
    return Asked(books, names, sorted({row["source_id"] for row in some})[::3])


def without_place(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in ("read_from", "archived_months_not_searched")}


def test_what_was_answered_from_tables_is_answered_from_files(asked: Asked):
    before = explained(asked)
    assert not any("read_from" in answer for answer in before.values())
    for layers in (("LEDGER",), ("SOURCE",)):
        for period in (JANUARY, FEBRUARY, MARCH):
            for layer in layers:
                archived(asked.books, period, layer)
        after = explained(asked)
        for question, answer in before.items():
            assert without_place(after[question]) == answer, question
            assert after[question]["read_from"], question
    entry = after["JE-2024-01-000001"]["read_from"]
    assert entry == [
        {"directory": "2024-01/ledger-1", "proven": SEALED}, {"directory": "2024-01/source-1", "proven": HASHED},
    ]  # fmt: skip
    with connect(asked.books.url) as connection:
        with pytest.raises(explaining.UnknownEntryError):
            explaining.explained_entry(connection, entry_name("JE-2024-01-000061"), asked.books.archive)
        with pytest.raises(explaining.UnknownTransactionError):
            explaining.explained_transaction(connection, "TXN-0", asked.books.archive)


def test_an_entry_in_the_database_finds_its_archived_transaction(asked: Asked):
    before = explained(asked)
    april = value_of(asked.books.url, "SELECT min(txn_id) FROM source.txn_source WHERE period = '2024-04'")
    archived(asked.books, JANUARY, "SOURCE")
    after = explained(asked)
    assert {name: without_place(answer) for name, answer in after.items()} == before
    with connect(asked.books.url) as connection:
        answer = explaining.explained_transaction(connection, april, asked.books.archive)
    assert answer["archived_months_not_searched"] == [JANUARY]
    assert "read_from" not in answer


@pytest.mark.parametrize("layer", ["ledger", "source"])
def test_a_file_that_is_gone_or_altered_is_named_and_nothing_is_answered(books: Books, layer: str):
    txn_id = value_of(books.url, "SELECT min(txn_id) FROM source.txn_source WHERE period = '2024-01'")
    archived(books, JANUARY, layer.upper())
    path = lines_of(books, layer)
    questions = [
        lambda connection: explaining.explained_entry(connection, entry_name("JE-2024-01-000017"), books.archive),
        lambda connection: explaining.explained_transaction(connection, txn_id, books.archive),
    ]
    if layer == "ledger":
        questions.append(
            lambda connection: explaining.explained_balance(
                connection, "1100-10", "OPERATOR", JANUARY, archive=books.archive
            )
        )
    content = path.read_bytes()
    one_amount(path)
    for question in questions:
        with connect(books.url) as connection, pytest.raises(LedgerError, match="another SHA-256") as refusal:
            question(connection)
        assert str(path) in str(refusal.value)
    path.unlink()
    for question in questions:
        with connect(books.url) as connection, pytest.raises(LedgerError, match=f"{path.name}: it cannot be read"):
            question(connection)
    path.write_bytes(content)
    for question in questions:
        with connect(books.url) as connection:
            assert question(connection)["read_from"]


def test_a_file_and_its_record_that_agree_are_still_proven_against_the_seal(books: Books):
    """Who can write the database too, can record the SHA-256 of his own file. The seal he cannot make again unseen."""
    archived(books, JANUARY)
    path = lines_of(books)
    one_amount(path)
    execute(
        books.url,
        "ALTER TABLE control.archived_file DISABLE TRIGGER USER; "
        f"UPDATE control.archived_file SET sha256 = '{sha256(path.read_bytes()).hexdigest()}' "
        f"WHERE file_name = '{path.name}'",
    )
    with connect(books.url) as connection:
        for question in (
            lambda: explaining.explained_entry(connection, entry_name("JE-2024-01-000017"), books.archive),
            lambda: explaining.explained_balance(connection, "1100-10", "OPERATOR", JANUARY, archive=books.archive),
        ):
            with pytest.raises(LedgerError, match=r"2024-01(-0000\d\d)?: it is not proven"):
                question()


def test_what_was_taken_out_of_a_file_is_missed(books: Books):
    """Nothing that would be shown is wrong then; only something is not there."""
    txn_id = value_of(books.url, "SELECT min(txn_id) FROM source.txn_source WHERE period = '2024-01'")
    archived(books, JANUARY)
    for content, changed in (
        ("headers", {"source_id": pl.when(pl.col("source_id") != txn_id).then("source_id").otherwise(pl.lit("X"))}),
        ("lines", {"account_id": pl.lit(1, pl.Int16)}),
    ):
        path = next(books.archive.glob(f"2024-01/ledger-1/*{content}*.parquet"))
        pl.read_parquet(path).with_columns(**changed).write_parquet(path)
        execute(
            books.url,
            "ALTER TABLE control.archived_file DISABLE TRIGGER USER; "
            f"UPDATE control.archived_file SET sha256 = '{sha256(path.read_bytes()).hexdigest()}' "
            f"WHERE file_name = '{path.name}'",
        )
    with connect(books.url) as connection:
        with pytest.raises(LedgerError, match="it is not proven"):
            explaining.explained_transaction(connection, txn_id, books.archive)
        with pytest.raises(LedgerError, match="it is not proven"):
            explaining.explained_balance(connection, "5110-20", "TABARRU", JANUARY, archive=books.archive)
