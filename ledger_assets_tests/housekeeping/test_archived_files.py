"""Files that are gone, altered, or somebody else's: nothing is dropped for them, and a verification names them."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet
import pytest

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.storage.archived_rows import MANIFEST
from ledger_assets.storage.archiving import restore_month
from ledger_assets.storage.certificate_findings import examine
from ledger_assets.storage.database import connect
from ledger_assets_tests.conftest import cloned
from ledger_assets_tests.housekeeping.conftest import JANUARY, Books, archived, findings
from ledger_assets_tests.scenario import ACTOR, fingerprint, rows_of, value_of


def one_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def one_amount(path: Path) -> None:
    """As a valid file, and the manifest says that it is right."""
    frame = pl.read_parquet(path)
    column = "amount" if "amount" in frame.columns else "tabarru_amount"
    first = pl.int_range(pl.len()) == 3
    frame.with_columns(
        pl.when(first).then(pl.col(column) + 1).otherwise(pl.col(column)).cast(frame.schema[column])
    ).write_parquet(path)
    _adapt_manifest(path)


def one_row_less(path: Path) -> None:
    pl.read_parquet(path).head(-1).write_parquet(path)
    _adapt_manifest(path)


def _adapt_manifest(path: Path) -> None:
    manifest = path.with_name(MANIFEST)
    document = json.loads(manifest.read_text())
    (record,) = [file for file in document["files"] if file["file_name"] == path.name]
    content = path.read_bytes()
    record |= {"sha256": sha256(content).hexdigest(), "byte_count": len(content)}
    record["row_count"] = pl.read_parquet(path).height
    manifest.write_text(json.dumps(document))


def lines_of(books: Books, layer: str = "ledger") -> Path:
    content = "lines" if layer == "ledger" else "transactions"
    return min((books.archive / JANUARY / f"{layer}-1").glob(f"*.{content}.parquet"))


Alteration = Callable[[Path], None]
ALTERATIONS = [one_byte, one_amount, one_row_less]


@pytest.fixture
def written(books: Books, test_server_url: str, lived_in_database: tuple[str, Path]) -> Books:
    """Books whose January was written to files, by a try that ended before it recorded them and dropped the tables: it
    was made on a copy of the ledger.
    """
    with cloned(test_server_url, lived_in_database[0]) as copy:
        for layer in ("SOURCE", "LEDGER"):
            archived(Books(copy, books.home), JANUARY, layer)
    return books


def test_what_a_try_left_behind_finished_is_proven_and_used(written: Books):
    archived(written, JANUARY)
    assert findings(written) == ("PROVEN", [])
    assert {path.name for path in (written.archive / JANUARY).iterdir()} == {"source-1", "ledger-1"}


@pytest.mark.parametrize("alter", ALTERATIONS)
@pytest.mark.parametrize("layer", ["ledger", "source"])
def test_altered_files_stop_the_drop(written: Books, layer: str, alter: Alteration):
    before, path = fingerprint(written.url), lines_of(written, layer)
    alter(path)
    for _ in range(2):
        with pytest.raises(LedgerError) as refusal:
            archived(written, JANUARY, layer.upper())
    told = str(refusal.value)
    assert path.name in told or "worker 1" in told or "its file holds" in told
    assert fingerprint(written.url) == before
    assert value_of(written.url, "SELECT count(*) FROM control.archive") == 0
    assert findings(written) == ("PROVEN", [])


@pytest.mark.parametrize("alter", ALTERATIONS)
@pytest.mark.parametrize("layer", ["ledger", "source"])
def test_altered_files_are_found_and_not_restored(books: Books, layer: str, alter: Alteration):
    archived(books, JANUARY, layer.upper())
    path = lines_of(books, layer)
    alter(path)
    verdict, told = findings(books, JANUARY)
    assert verdict == "DIFFERENT"
    assert any(str(path) in one and "SHA-256" in one for one in told)
    if alter is one_amount and layer == "ledger":
        assert any("1 values differ from what was sealed" in one for one in told)
    assert findings(books)[0] == "DIFFERENT"
    before = fingerprint(books.url)
    with pytest.raises(LedgerError):
        restore_month(books.place, JANUARY, [layer.upper()], performed_by=ACTOR)
    assert fingerprint(books.url) == before


@pytest.mark.parametrize("layer", ["ledger", "source"])
def test_a_file_that_is_gone_leaves_the_verification_incomplete(books: Books, layer: str):
    """It may be as it was: nobody can say. A directory that is not mounted is no forgery."""
    archived(books, JANUARY, layer.upper())
    path = lines_of(books, layer)
    path.rename(path.with_suffix(".away"))
    verdict, told = findings(books)
    assert (verdict, len(told)) == ("INCOMPLETE", 1)
    assert str(path) in told[0]
    with connect(books.url) as connection:
        examined = examine(connection, books.home, JANUARY, archive=books.archive)
    assert examined is not None
    by_the_lines = [(False, str(path) in told[0])] if layer == "ledger" else []
    assert [(one.differs, str(path) in one.problem) for one in examined.findings] == by_the_lines
    with pytest.raises(LedgerError, match="No such file"):
        restore_month(books.place, JANUARY, [layer.upper()], performed_by=ACTOR)
    path.with_suffix(".away").rename(path)
    assert findings(books) == ("PROVEN", [])


def test_an_altered_manifest_is_found(books: Books):
    archived(books, JANUARY)
    one_byte(books.archive / JANUARY / "ledger-1" / MANIFEST)
    verdict, told = findings(books)
    assert (verdict, len(told)) == ("DIFFERENT", 1)
    assert MANIFEST in told[0]


def test_the_manifest_says_to_anybody_what_lies_there(books: Books):
    archived(books, JANUARY)
    directory = books.archive / JANUARY / "ledger-1"
    document = json.loads((directory / MANIFEST).read_text())
    assert (document["format"], document["period"]) == ("ledger-assets archive 1", JANUARY)
    assert {file["file_name"] for file in document["files"]} == {path.name for path in directory.glob("*.parquet")}
    for file in document["files"]:
        assert sha256((directory / file["file_name"]).read_bytes()).hexdigest() == file["sha256"]
    assert {seal["batch_id"] for seal in document["seals"]} == {"2024-01-MONTHEND"}
    assert {account["account_code"] for account in document["accounts"]} >= {"1100-10", "4110-20"}
    lines = pl.concat([pl.read_parquet(path) for path in directory.glob("*.lines.parquet")])
    assert lines["amount"].sum() == 0


def test_programs_that_are_not_ours_read_the_very_rows_in_their_order(books: Books):
    """DuckDB and Arrow: types, every value, and the order of the rows."""
    lines = rows_of(
        books.url,
        "SELECT je_number, line_number, account_id, amount FROM ledger.je_line WHERE period = '2024-01' ORDER BY 1, 2",
    )
    columns = "txn_id, txn_date, gross_amount, tabarru_amount, tanahud_amount, ujroh_amount, currency, row_number"
    query = f"SELECT {columns} FROM source.txn_source WHERE load_id = 1 ORDER BY row_number"
    transactions = rows_of(books.url, query)
    for layer in ("SOURCE", "LEDGER"):
        archived(books, JANUARY, layer)
    for content, expected, types in (
        ("ledger", lines, ["INTEGER", "SMALLINT", "SMALLINT", "BIGINT"]),
        ("source", transactions, ["VARCHAR", "DATE", *["DECIMAL(18,2)"] * 4, "VARCHAR", "INTEGER"]),
    ):
        first, names = lines_of(books, content), ", ".join(expected[0])
        paths = sorted(str(path) for path in first.parent.glob(f"*.{first.name.split('.')[-2]}.parquet"))
        paths = paths if content == "ledger" else [str(first)]  # of loads, that of the first
        with duckdb.connect() as theirs:
            found = theirs.execute(f"SELECT {names} FROM read_parquet({paths})")
            assert [str(column[1]) for column in found.description or []] == types
            assert found.fetchall() == [tuple(row.values()) for row in expected]
        tables = [pyarrow.parquet.ParquetFile(path).read(list(expected[0]), use_threads=False) for path in paths]
        assert [row for table in tables for row in table.select(list(expected[0])).to_pylist()] == expected
        described = json.loads((first.parent / MANIFEST).read_text())["columns"]
        assert described.keys() & {*expected[0], "*_amount"}


def test_a_directory_that_somebody_else_made_is_not_touched(books: Books):
    place = books.archive / JANUARY / "ledger-1"
    place.mkdir(parents=True)
    (place / "holiday.txt").write_text("do not delete")
    with pytest.raises(LedgerError, match="no archive that this ledger made"):
        archived(books, JANUARY)
    assert (place / "holiday.txt").read_text() == "do not delete"
