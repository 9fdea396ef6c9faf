"""Files of every kind of brokenness: one clear error each, and what is whole is read exactly, in bounded memory."""

import csv
import hashlib
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger_assets.accounting.generation import DEFECTS, generate, write
from ledger_assets.accounting.mapping import parse_mapping
from ledger_assets.accounting.schemas import SOURCE_COLUMNS
from ledger_assets.accounting.source_errors import SourceFileError
from ledger_assets.accounting.source_mapping import SourceMapping
from ledger_assets.storage import source_files
from ledger_assets.storage.source_files import read, sha256_of

HEADER = ",".join(SOURCE_COLUMNS)
ROW = "T-1,PREMIUM,P-1,FAMILY-001,AGENCY,2025-01-02,2025-01-03,IDR,100.00,40.00,40.00,20.00"
ROW_OF_TWO_LINES = ROW.replace("P-1", '"P\n1"')
GOOD = f"{HEADER}\n{ROW}\n"


def frame_of(path: Path, mapping: SourceMapping | None = None, batch_rows: int = 100) -> pl.DataFrame:
    batches = list(read(path, mapping or SourceMapping(), "2025-01", batch_rows=batch_rows))
    return pl.concat(batch.frame for batch in batches)


def refusal(path: Path, mapping: SourceMapping | None = None) -> SourceFileError:
    with pytest.raises(SourceFileError) as caught:
        frame_of(path, mapping)
    assert str(path) in str(caught.value)
    assert caught.value.fix
    return caught.value


@pytest.fixture
def csv_file(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def write_file(content: str | bytes) -> Path:
        path = tmp_path / "january.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


@pytest.fixture
def parquet_file(tmp_path: Path) -> Callable[..., Path]:
    def write_file(**columns: pl.Series) -> Path:
        path = tmp_path / "january.parquet"
        next(generate("2025-01", 5, 1)).with_columns(**columns).write_parquet(path)
        return path

    return write_file


# ----------------------------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_generated_file_is_read_back_exactly(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_files, "_CSV_BLOCK_BYTES", 10_000)
    path = tmp_path / f"january.{ending}"
    write(generate("2025-01", 1000, 3), path)
    batches = list(read(path, SourceMapping(), "2025-01", batch_rows=70))
    assert len(batches) > 10, "the file must come in pieces"
    whole = pl.concat(batch.frame for batch in batches)
    assert whole.select(SOURCE_COLUMNS).equals(pl.concat(generate("2025-01", 1000, 3)))
    assert whole["row_number"].to_list() == list(range(1, 1001))


@pytest.mark.parametrize(
    "content",
    [
        GOOD.rstrip("\n"),
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\n\n\n"),
        "\ufeff" + GOOD,
        GOOD.replace("P-1", '"P-1"').replace("AGENCY", " AGENCY "),
    ],
    ids=["no last newline", "Windows", "blank lines", "byte order mark", "quotation marks and blanks"],
)
def test_harmless_variants_are_read(csv_file: Callable[[str], Path], content: str) -> None:
    row = frame_of(csv_file(content)).row(0, named=True)
    assert (row["txn_id"], row["policy_id"], row["channel"]) == ("T-1", "P-1", "AGENCY")
    assert row["ujroh_amount"] == Decimal("20.00")


def test_a_newline_in_quotation_marks_belongs_to_its_value(csv_file: Callable[[str], Path]) -> None:
    assert frame_of(csv_file(GOOD.replace("P-1", '"P\n1"')))["policy_id"].to_list() == ["P\n1"]


def test_columns_may_be_more_and_in_any_order(csv_file: Callable[[str], Path]) -> None:
    names, values = [*HEADER.split(","), "note"], [*ROW.split(","), "hello"]
    turned = f"{','.join(reversed(names))}\n{','.join(reversed(values))}\n"
    assert frame_of(csv_file(turned))["txn_id"].to_list() == ["T-1"]


def test_empty_fields_are_missing_values(csv_file: Callable[[str], Path]) -> None:
    row = frame_of(csv_file(f"{HEADER}\nT-1,,P-1,F,A,,2025-01-03,IDR,,40.00, ,20.00\n")).row(0, named=True)
    assert [name for name, value in row.items() if value is None] == [
        "txn_type", "txn_date", "gross_amount", "tanahud_amount",
    ]  # fmt: skip


def test_many_decimals_are_read_as_they_are(csv_file: Callable[[str], Path]) -> None:
    path = csv_file(GOOD.replace("100.00", "100.005"))
    assert frame_of(path)["gross_amount"].to_list() == [Decimal("100.005")]


def test_another_delimiter(csv_file: Callable[[str], Path]) -> None:
    mapping = parse_mapping(b'[file]\ndelimiter = ";"\ndecimal = ","', "m.toml")
    path = csv_file(GOOD.replace(",", ";").replace(".", ","))
    assert frame_of(path, mapping)["tabarru_amount"].to_list() == [Decimal("40.00")]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("gross_amount", pl.Series([100, 200, 300, 400, None], dtype=pl.Int64)),
        ("gross_amount", pl.Series(["1.00", "2", None, "", "3.5"])),
        ("gross_amount", pl.Series(["1.00"] * 5).cast(pl.Decimal(9, 6))),
        ("policy_id", pl.Series([1, 2, 3, 4, None], dtype=pl.Int64)),
        ("channel", pl.Series(["A", "B", "A", None, "B"], dtype=pl.Categorical)),
        ("txn_date", pl.Series(["2025-01-01"] * 5)),
        ("txn_date", pl.Series([datetime(2025, 1, 1)] * 5)),  # noqa: DTZ001
        ("policy_id", pl.Series([None] * 5, dtype=pl.Null)),
    ],
)
def test_parquet_types_that_hold_the_values_exactly(
    parquet_file: Callable[..., Path], column: str, values: pl.Series
) -> None:
    found = frame_of(parquet_file(**{column: values}))[column]
    if column == "gross_amount":
        assert found.to_list() == [None if value in (None, "") else Decimal(str(value)) for value in values]
    elif column == "txn_date":
        assert found.to_list() == [date(2025, 1, 1)] * 5
    else:
        assert found.to_list() == values.cast(pl.String).to_list()


def test_the_hash_is_that_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"abc" * 1_000_000)
    assert sha256_of(path) == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


# -------------------------------------------------------------------------------------------------- what is refused


def test_what_is_no_file(tmp_path: Path) -> None:
    assert "no such file" in str(refusal(tmp_path / "none.csv"))
    assert "no such file" in str(refusal(tmp_path / "none.parquet"))
    for name in ("a.csv", "a.parquet"):
        (tmp_path / name).mkdir()
        assert "is a directory" in str(refusal(tmp_path / name))
    (tmp_path / "a.xlsx").touch()
    assert "neither CSV nor Parquet" in str(refusal(tmp_path / "a.xlsx"))


def test_what_may_not_be_read(csv_file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = csv_file(GOOD)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # the tests may run as root, whom no mode keeps out
    assert "Permission denied" in str(refusal(path))
    with pytest.raises(SourceFileError, match="Permission denied"):
        sha256_of(path)


@pytest.mark.parametrize(
    ("content", "complaint", "line", "column"),
    [
        (b"", "it is empty", None, None),
        (b"\n\n", "it is empty", None, None),
        (HEADER.encode(), "it has no rows", None, None),
        (f"{HEADER}\n\n".encode(), "it has no rows", None, None),
        (GOOD.replace("txn_type", "type").encode(), "it has no column txn_type", 1, "txn_type"),
        (GOOD.replace("txn_type", "txn_id").encode(), "column 'txn_id' is there twice", None, None),
        (f"{GOOD}{ROW.rpartition(',')[0]}\n{ROW}\n".encode(), "11 fields where the header has 12", 3, None),
        (f"{GOOD}{ROW},x\n".encode(), "13 fields where the header has 12", 3, None),
        (f"{GOOD}\n{ROW}\n\nT-3,PRE".encode(), "2 fields where the header has 12", 6, None),
        (GOOD.replace("20.00", "12,5x").encode(), "13 fields", 2, None),
        (GOOD.replace("20.00", '"12,5x"').encode(), "'99,9x' is not a number", 2, "ujroh_amount"),
        (GOOD.replace("20.00", "NaN").encode(), "'xxx' is not a number", 2, "ujroh_amount"),
        (GOOD.replace("100.00", "1e5").encode(), "'9x9' is not a number", 2, "gross_amount"),
        (f"{GOOD}{ROW_OF_TWO_LINES}\n{ROW.replace('40.00', '4O.00')}".encode(), "'9x.99'", 5, "tabarru_amount"),
        (GOOD.replace("2025-01-02", "2025-02-30").encode(), "is not a day written as %Y-%m-%d", 2, "txn_date"),
        (GOOD.replace("2025-01-03", "03.01.2025").encode(), "is not a day", 2, "bank_value_date"),
        (GOOD.replace("AGENCY", "AG\0NCY").encode(), "holds a NUL character", 2, "channel"),
        ((GOOD + ROW.replace("AGENCY", "AGÉNCY")).encode("latin-1"), "is not UTF-8", 3, "5"),
        (GOOD.replace("txn_id", "txn_ïd").encode("latin-1"), "is not UTF-8", 1, "1"),
        (GOOD.encode("utf-16"), "is not UTF-8", 1, "1"),
        (GOOD.replace("AGENCY", '"AGENCY').encode(), "it is not CSV", 2, None),
        (GOOD.encode() + b'"', "it is not CSV", 3, None),
        (b"\x1f\x8b\x08\x00\xff\xfe binary", "is not UTF-8", 1, "1"),
    ],
)  # fmt: skip
def test_a_malformed_csv_file_has_one_clear_error(
    csv_file: Callable[[bytes], Path], content: bytes, complaint: str, line: int | None, column: str | None
) -> None:
    error = refusal(csv_file(content))
    assert complaint in str(error)
    assert (error.line, error.column) == (line, column)


def test_a_fault_far_down_in_a_large_file_is_found_at_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_files, "_CSV_BLOCK_BYTES", 20_000)
    path = tmp_path / "january.csv"
    write(generate("2025-01", 5000, 3), path)
    lines = path.read_text().splitlines()
    lines[4001] = lines[4001].replace("IDR,", "IDR,x")
    path.write_text("\n".join(lines))
    assert refusal(path).line == 4002


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("name", [name for name, defect in DEFECTS.items() if defect.control == "reader"])
def test_each_generated_defect_of_a_file_is_refused(tmp_path: Path, name: str, ending: str) -> None:
    if ending == "parquet" and name in {"bad_encoding", "ragged_row"}:
        pytest.skip("a Parquet file cannot have it")
    path = tmp_path / f"january.{ending}"
    write(generate("2025-01", 2000, 3, [name]), path, [name])
    error = refusal(path)
    if DEFECTS[name].reason:
        assert error.column == DEFECTS[name].reason


@pytest.mark.parametrize(
    ("column", "values", "complaint"),
    [
        ("gross_amount", pl.Series([1.5] * 5), "type is double, not amount"),
        ("gross_amount", pl.Series([True] * 5), "type is bool, not amount"),
        ("txn_id", pl.Series([1.0] * 5), "type is double, not text"),
        ("channel", pl.Series([["a"]] * 5), "not text"),
        ("txn_date", pl.Series([20250101] * 5), "type is int64, not day"),
        ("txn_date", pl.Series([datetime(2025, 1, 1, tzinfo=ZoneInfo("Asia/Jakarta"))] * 5), "not day"),
        ("txn_date", pl.Series([datetime(2025, 1, 1, 7)] * 5), "is a moment, not a day"),  # noqa: DTZ001
        ("gross_amount", pl.Series([Decimal(10) ** 25] * 5, dtype=pl.Decimal(38, 2)), "more than 18 digits"),
        ("gross_amount", pl.Series(["1.5", "x", "1", "1", "1"]), "'x' is not a number"),
    ],
)
def test_parquet_columns_that_cannot_be_exact_are_refused(
    parquet_file: Callable[..., Path], column: str, values: pl.Series, complaint: str
) -> None:
    error = refusal(parquet_file(**{column: values}))
    assert complaint in str(error)
    assert error.column == column


def test_parquet_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "january.parquet"
    for content in (b"", b"PAR1", b"PAR1" + b"x" * 100 + b"PAR1", GOOD.encode()):
        path.write_bytes(content)
        assert "no intact Parquet file" in str(refusal(path))


def test_every_truncation_and_every_flipped_byte_of_a_parquet_file_is_refused_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "january.parquet"
    write(generate("2025-01", 50, 1), path)
    whole, rows = path.read_bytes(), frame_of(path)
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        refusal(path)
    for position in range(0, len(whole), 61):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            assert frame_of(path).equals(rows)
        except SourceFileError as error:
            assert error.fix  # noqa: PT017 - either outcome is right, another exception is not


def test_a_parquet_file_without_rows_or_with_a_column_twice(tmp_path: Path) -> None:
    path = tmp_path / "january.parquet"
    next(generate("2025-01", 0, 1)).write_parquet(path)
    assert "it has no rows" in str(refusal(path))
    table = pa.table([pa.array(["x"])] * 13, names=[*SOURCE_COLUMNS, "channel"])
    pq.write_table(table, path)
    assert "column 'channel' is there twice" in str(refusal(path))


# --------------------------------------------------------------------------------------------------- any content

FIELD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=20), newline=st.sampled_from(["\n", "\r\n"]))
def test_any_text_is_read_as_the_csv_module_reads_it(tmp_path: Path, rows: list[tuple[str, str]], newline: str) -> None:
    path = tmp_path / "any.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator=newline, quoting=csv.QUOTE_ALL)
        writer.writerow(SOURCE_COLUMNS)
        writer.writerows([first, "PREMIUM", second, *ROW.split(",")[3:]] for first, second in rows)
    expected = pl.DataFrame(rows, schema=["txn_id", "policy_id"], orient="row").select(
        pl.all().str.strip_chars().replace("", None)
    )
    assert frame_of(path).select("txn_id", "policy_id").equals(expected)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.sampled_from(["", HEADER, GOOD]), rest=st.one_of(st.binary(max_size=300), st.text().map(str.encode)))
def test_no_content_gives_another_error(tmp_path: Path, start: str, rest: bytes) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes(start.encode() + rest)
    try:
        frame_of(path)
    except SourceFileError as error:
        assert error.fix  # noqa: PT017 - either outcome is right, another exception is not
