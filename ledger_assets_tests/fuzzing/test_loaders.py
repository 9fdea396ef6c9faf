"""Files into the database: no row is lost, no amount changes, and what is refused leaves nothing behind."""

import csv
import os
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.generation import generate
from ledger_assets.accounting.mapping import parse_mapping
from ledger_assets.accounting.schemas import SOURCE_COLUMNS
from ledger_assets.accounting.source_mapping import SourceMapping
from ledger_assets.storage import source_files
from ledger_assets.storage.source_loads import LoadResult
from ledger_assets_tests.fuzzing import books, mutations
from ledger_assets_tests.fuzzing.profiles import examples
from ledger_assets_tests.fuzzing.targets import told
from ledger_assets_tests.storage.source_delivery import everything, load, rows_of, value_of

HEADER = ",".join(SOURCE_COLUMNS)
ROW = "T-1,PREMIUM,P-1,FAMILY-001,AGENCY,2025-01-02,2025-01-03,IDR,100.00,40.00,40.00,20.00"
OTHER = ROW.replace("T-1", "T-2")


@pytest.fixture
def csv_file(tmp_path: Path) -> Callable[[str], Path]:
    def write_file(content: str) -> Path:
        path = tmp_path / "january.csv"
        path.write_bytes(content.encode())
        return path

    return write_file


def refusal(ledger: psycopg.Connection, path: Path, **options: Any) -> LedgerError:
    """The clear error that an ingest ends with, after which everything is as it was."""
    before = everything(ledger)
    with pytest.raises(LedgerError) as caught:
        load(ledger, path, **options)
    told(caught.value)
    assert everything(ledger) == before
    return caught.value


def check_books(ledger: psycopg.Connection, result: LoadResult) -> None:
    """The tables hold what the result says, and each row of the file is in one of them."""
    stored = value_of(ledger, "SELECT count(*) FROM source.txn_source WHERE load_id = %s", result.load_id)
    refused = rows_of(ledger, "SELECT row_number FROM source.rejected_row WHERE load_id = %s", result.load_id)
    assert (stored, len(refused)) == (result.accepted_count, result.rejected_count)
    counts = result.accepted_count + result.rejected_count + result.skipped_count + result.unchanged_count
    assert counts == result.row_count


def plain_amounts(path: Path) -> dict[int, list[Decimal]]:
    """Row number -> its four amounts, of the rows in which Python's csv finds four plain numbers."""
    found = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        records = [record for record in csv.reader(file, strict=True) if record]
    for number, record in enumerate(records[1:], 1):
        texts = [dict(zip(records[0], record, strict=True))[name].strip() for name in books.AMOUNTS]
        if all(text.replace(".", "", 1).isascii() and text.replace(".", "", 1).isdigit() for text in texts):
            found[number] = [Decimal(text) for text in texts]
    return found


@examples(60)
@given(content=mutations.csv_files(), again=st.booleans())
def test_every_row_of_any_csv_file_is_stored_refused_or_the_file_is(
    ledger: psycopg.Connection, tmp_path: Path, content: bytes, *, again: bool
) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes(content)
    with ledger.transaction(force_rollback=True):
        if again:  # rows that an earlier file of the month brought are unchanged or duplicates
            next(generate("2025-01", 8, 1)).write_csv(tmp_path / "earlier.csv")
            load(ledger, tmp_path / "earlier.csv")
        before = everything(ledger)
        try:
            result = load(ledger, path)
        except LedgerError as error:
            told(error)
            assert everything(ledger) == before
            return
        if result.already_loaded:  # the drawn file was the earlier one
            return
        check_books(ledger, result)
        assert result.row_count == books.rows_in_csv(path)
        delivered = plain_amounts(path)
        for row in rows_of(ledger, "SELECT * FROM source.txn_source WHERE load_id = %s", result.load_id):
            assert [row[name] for name in books.AMOUNTS] == delivered[row["row_number"]]


@examples(40)
@given(data=st.data())
def test_every_row_of_any_parquet_file_is_stored_refused_or_the_file_is(
    ledger: psycopg.Connection, tmp_path: Path, data: st.DataObject
) -> None:
    good = next(generate("2025-01", 8, 1)).to_arrow()
    arrays = {name: good[name].combine_chunks() for name in good.schema.names}
    for name in data.draw(st.lists(st.sampled_from(SOURCE_COLUMNS), max_size=3, unique=True)):
        arrays[name] = data.draw(st.sampled_from(ARRAYS))(arrays[name])
    rows = data.draw(st.integers(0, 8))
    path = tmp_path / "any.parquet"
    table = pa.table({name: array.slice(0, rows) for name, array in arrays.items()})
    compression = data.draw(st.sampled_from(["none", "snappy", "gzip", "zstd"]))
    pq.write_table(table, path, compression=compression, use_dictionary=data.draw(st.booleans()))
    with ledger.transaction(force_rollback=True):
        before = everything(ledger)
        try:
            result = load(ledger, path)
        except LedgerError as error:
            told(error)
            assert everything(ledger) == before
            return
        check_books(ledger, result)
        assert result.row_count == rows


def _values(*values: Any, kind: pa.DataType) -> Callable[[pa.Array], pa.Array]:
    return lambda array: pa.array([values[index % len(values)] for index in range(len(array))], kind)


ARRAYS: list[Callable[[pa.Array], pa.Array]] = [
    lambda array: pa.nulls(len(array)),
    lambda array: pa.nulls(len(array), array.type),
    lambda array: array.cast(pa.string()).dictionary_encode(),
    lambda array: array.cast(pa.string()).cast(pa.large_string()),
    lambda array: array.cast(pa.string()).cast(pa.binary()),
    lambda array: pa.array([[value] for value in array.to_pylist()]),
    lambda array: pa.array([{"a": value} for value in array.to_pylist()]),
    _values(*mutations.ODD_TEXTS, kind=pa.string()),
    _values(1, -1, 2**63 - 1, -(2**63), None, kind=pa.int64()),
    _values(2**64 - 1, 0, kind=pa.uint64()),
    _values(1.5, float("nan"), float("inf"), -0.0, kind=pa.float64()),
    _values(1.5, kind=pa.float16()),
    _values(True, None, kind=pa.bool_()),
    _values(Decimal("1.00"), kind=pa.decimal256(60, 2)),
    _values(Decimal(10) ** 36, -(Decimal(10) ** 36), kind=pa.decimal128(38, 0)),
    _values(Decimal("1e-38"), kind=pa.decimal128(38, 38)),
    _values(Decimal("1.00"), kind=pa.decimal32(9, 2)),
    _values(-719_163, -719_162, 2_932_896, 2_932_897, 2**31 - 1, -(2**31), None, kind=pa.date32()),
    _values(datetime(2025, 1, 3), datetime(2025, 1, 3, 0, 0, 1), kind=pa.timestamp("us")),  # noqa: DTZ001
    _values(2**63 - 1, -(2**63) + 1, kind=pa.timestamp("ms")),
    _values(2**63 - 1, -(2**63) + 1, kind=pa.timestamp("ns")),
    _values(datetime(2025, 1, 3), kind=pa.timestamp("ms", "Asia/Jakarta")),  # noqa: DTZ001
    _values(1, kind=pa.time64("us")),
    _values(1, kind=pa.duration("s")),
]
"""Columns as other people's programs write them."""


# ----------------------------------------------------------------------------------------------- what was found


def test_two_stray_quotation_marks_do_not_swallow_the_rows_between_them(
    ledger: psycopg.Connection, csv_file: Callable[[str], Path]
) -> None:
    stray = [row.replace("AGENCY", '"AGENCY') for row in (ROW, OTHER)]
    path = csv_file("\n".join([HEADER, stray[0], ROW.replace("T-1", "T-3"), stray[1], ""]))
    assert "it is not CSV" in str(refusal(ledger, path))


def test_a_line_break_inside_of_quotation_marks_is_fine(
    ledger: psycopg.Connection, csv_file: Callable[[str], Path]
) -> None:
    path = csv_file("\n".join([HEADER, ROW.replace("AGENCY", '"AGENCY\nNORTH"'), OTHER, ""]))
    assert load(ledger, path).accepted_count == 2


@pytest.mark.parametrize("day", ["0000-01-01", "-4713-01-01", "+10000-01-01", "+262142-12-31"])
def test_a_day_that_no_calendar_here_has_is_refused_with_its_line(
    ledger: psycopg.Connection, csv_file: Callable[[str], Path], day: str
) -> None:
    assert "line 2, column txn_date" in str(refusal(ledger, csv_file(f"{HEADER}\n{ROW.replace('2025-01-02', day)}\n")))


def test_an_id_that_no_index_can_hold_is_a_rejected_row(
    ledger: psycopg.Connection, csv_file: Callable[[str], Path]
) -> None:
    text = "".join(f"{number:x}" for number in range(10_000))
    result = load(ledger, csv_file(f"{HEADER}\n{ROW.replace('T-1', text)}\n{OTHER}\n"))
    assert (result.accepted_count, result.reasons) == (1, {"TEXT_TOO_LONG": 1})
    assert value_of(ledger, "SELECT raw ->> 'txn_id' FROM source.rejected_row") == text


@pytest.mark.parametrize("currency", ["US1", "U-D", "usd", "ÄBC", "U" * 100_000])
def test_a_first_file_in_no_currency_is_refused(
    ledger: psycopg.Connection, csv_file: Callable[[str], Path], currency: str
) -> None:
    path = csv_file(f"{HEADER}\n{ROW.replace('IDR', currency)}\n")
    refusal(ledger, path, currency=None)
    refusal(ledger, path, currency=currency)


@pytest.mark.parametrize(
    "text", ['[id]\nprefix = "a\\u0000"\nfrom = "row_position"', '[values.channel]\nAGENCY = "\\u0000"']
)
def test_a_mapping_cannot_bring_in_what_a_file_may_not_hold(
    ledger: psycopg.Connection, csv_file: Callable[[str], Path], text: str
) -> None:
    assert "NUL" in str(refusal(ledger, csv_file(f"{HEADER}\n{ROW}\n"), mapping=parse_mapping(text.encode(), "m.toml")))


def test_a_value_that_a_mapping_empties_is_missing(ledger: psycopg.Connection, csv_file: Callable[[str], Path]) -> None:
    mapping = parse_mapping(b'[values.channel]\nAGENCY = ""', "m.toml")
    assert load(ledger, csv_file(f"{HEADER}\n{ROW}\n"), mapping=mapping).reasons == {"MISSING_CHANNEL": 1}


@pytest.mark.parametrize("name", ["a\0b", "x" * 201, "\0row_number"])
def test_a_column_whose_name_no_json_can_hold_is_refused(
    ledger: psycopg.Connection, csv_file: Callable[[str], Path], name: str
) -> None:
    refusal(ledger, csv_file(f"{HEADER},{name}\n{ROW.replace('100.00', '-1')},x\n"))


def test_thousands_of_columns_are_refused_in_a_short_message(
    ledger: psycopg.Connection, csv_file: Callable[[str], Path]
) -> None:
    many = ",".join(f"c{number}" for number in range(5_000))
    assert "5,012 columns" in str(refusal(ledger, csv_file(f"{HEADER},{many}\n{ROW}{',' * 5_000}\n")))
    refusal(ledger, csv_file(",".join(f"c{number}" for number in range(900)) + "\n"))


@pytest.mark.parametrize("cell", ["9" * 1_000_000, "x" * 40_000_000, '"' + "x" * 200_000])
def test_huge_cells_and_numbers_are_refused(
    ledger: psycopg.Connection, csv_file: Callable[[str], Path], cell: str
) -> None:
    refusal(ledger, csv_file(f"{HEADER}\n{ROW.replace('100.00', cell)}\n"))


@pytest.mark.parametrize("times", [1, 20_000])
def test_a_parquet_file_that_grows_when_it_is_read_is_refused_before_it_does(
    ledger: psycopg.Connection, tmp_path: Path, times: int
) -> None:
    path = tmp_path / "bomb.parquet"
    rows = generate("2025-01", times, 1)
    table = pl.concat(rows).to_arrow()
    size = source_files.LARGEST_CELL + 1 if times == 1 else 60_000
    policies = pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), pa.array(["x" * size]))
    pq.write_table(table.set_column(2, "policy_id", policies), path)
    assert path.stat().st_size < 20 * 2**20
    assert "bytes of text" in str(refusal(ledger, path))


def test_what_is_no_regular_file_is_refused_and_not_waited_for(ledger: psycopg.Connection, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    assert "no regular file" in str(refusal(ledger, tmp_path / "pipe.csv"))
    (tmp_path / "endless.csv").symlink_to("/dev/zero")
    assert "no regular file" in str(refusal(ledger, tmp_path / "endless.csv"))


def test_a_file_name_that_is_not_utf8_is_refused(ledger: psycopg.Connection, tmp_path: Path) -> None:
    path = tmp_path / "a\udcff.csv"
    path.write_text(f"{HEADER}\n{ROW}\n")
    assert "its name is not UTF-8" in str(refusal(ledger, path))


def test_the_property_notices_a_lost_row_and_a_changed_amount(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks themselves: what they are for must be red."""
    mapped = SourceMapping().apply(next(generate("2025-01", 3, 1)), 1, "2025-01")
    honest = books.judge
    for spoilt in (
        lambda j: j._replace(accepted=j.accepted.head(2)),
        lambda j: j._replace(accepted=j.accepted.with_columns(pl.col("gross_amount") + Decimal("0.01"))),
    ):
        monkeypatch.setattr(books, "judge", lambda *a, spoilt=spoilt, **k: spoilt(honest(*a, **k)))
        with pytest.raises(AssertionError):
            books.judged(mapped)
