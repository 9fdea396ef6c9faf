"""Source files into frames, batch by batch: CSV and Parquet of any size in bounded memory.

Here: opening a file, finding out that it cannot be read, and saying so in one clear error with file, line, column,
value and fix. Not here: what its columns mean (source_mapping) and whether its rows are acceptable
(accounting.schemas).

Every column of a CSV file is read as text: a parser that guesses types would turn amounts into floats. The fast parser
says little about what is wrong, so after a failure the file is read again by the slow one, which knows line numbers.
"""

import csv
import hashlib
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from pyarrow import types

from ledger_assets.accounting.errors import quoted
from ledger_assets.accounting.masking import looks_like_data, pattern
from ledger_assets.accounting.source_errors import SourceFileError, UnreadableValue
from ledger_assets.accounting.source_mapping import Mapped, SourceMapping

BATCH_ROWS: Final = 125_000
"""Rows of a Parquet batch: its columns stay in the processor's cache from one step to the next, and the database does
not wait long for the first one. Half as many cost more in Pandera's calls than they win."""

# About 125,000 rows. Arrow reads up to forty blocks ahead, so the whole reader takes 1 GB at this size.
_CSV_BLOCK_BYTES: Final = 16 * 1024 * 1024
_HASH_BLOCK_BYTES: Final = 1024 * 1024

LONGEST_NAME: Final = 200
_NAMES_SHOWN: Final = 40

MOST_COLUMNS: Final = 1_000
"""No delivery has more. Every column costs memory in each of the blocks that are read ahead."""

LARGEST_BATCH: Final = 256 * 1024 * 1024
"""Bytes of text in a column of a Parquet batch: 2 kB a row. A dictionary can promise a thousand times as much."""

LARGEST_CELL: Final = 16 * 1024 * 1024
"""Bytes of one text: what a CSV block holds at most, and far less than a jsonb text can."""


def read(path: Path, mapping: SourceMapping, period: str, *, batch_rows: int = BATCH_ROWS) -> Iterator[Mapped]:
    """Yield the rows of a file as transactions, in the order of the file.

    Args:
        path: a file whose name ends in .csv (UTF-8, with a header) or .parquet.
        mapping: what its columns are.
        period: the month that is loaded, `YYYY-MM`.
        batch_rows: rows per batch of a Parquet file.

    Yields:
        Batches with their rows, the same rows as delivered, and the number of rows that the mapping left out.

    Raises:
        SourceFileError: the file cannot be read, has no row, lacks a column, or holds something that is no number, no
            day, or no text. Raised while iterating, at the first fault.
    """
    _demand_regular_file(path)
    readers: dict[str, Callable[[Path, SourceMapping, int], Iterator[pl.DataFrame]]] = {
        ".csv": _read_csv,
        ".parquet": _read_parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise SourceFileError(str(path), "its ending says neither CSV nor Parquet", "name it like january.csv")
    first_row = 1
    for raw in _opened(path, reader(path, mapping, batch_rows)):
        try:
            yield mapping.apply(raw, first_row, period)
        except UnreadableValue as error:
            _refuse_value(path, mapping, error)
        first_row += raw.height
    if first_row == 1:
        _refuse_emptiness(path)


def sha256_of(path: Path) -> str:
    """The hash of a file's content.

    Raises:
        SourceFileError: the file cannot be read.
    """
    _demand_regular_file(path)
    with _file_errors(path), path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(_HASH_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _demand_regular_file(path: Path) -> None:
    """A pipe would wait for ever, and a device has no end."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise SourceFileError(quoted(str(path)), "its name is not UTF-8", "rename it") from error
    with _file_errors(path):
        mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a directory says what it is
        raise SourceFileError(str(path), "it is no regular file", "write the rows to a file first")


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says about a file into a SourceFileError."""
    try:
        yield
    except FileNotFoundError as error:
        raise SourceFileError(str(path), "there is no such file", "check the path") from error
    except IsADirectoryError as error:
        raise SourceFileError(str(path), "it is a directory", "name one file") from error
    except OSError as error:
        fix = "check the permissions and the disk"
        raise SourceFileError(str(path), f"it cannot be read ({error.strerror or error})", fix) from error


def _opened(path: Path, frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    with _file_errors(path):
        yield from frames


def _read_csv(path: Path, mapping: SourceMapping, _batch_rows: int) -> Iterator[pl.DataFrame]:
    names = _header(path, mapping.delimiter)
    _demand_columns(path, names, mapping)
    try:
        blocks = pyarrow.csv.open_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(block_size=_CSV_BLOCK_BYTES),
            parse_options=pyarrow.csv.ParseOptions(delimiter=mapping.delimiter, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
        was_read_strictly = False
        for block in blocks:
            frame = _frame(block)
            if not was_read_strictly and _holds_line_breaks(frame):
                _demand_strict_quotes(path, mapping.delimiter)
                was_read_strictly = True
            yield frame
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        _refuse_csv(path, mapping.delimiter, len(names), error)


def _holds_line_breaks(frame: pl.DataFrame) -> bool:
    return any(column.str.contains(r"[\r\n]").any() for column in frame)


def _demand_strict_quotes(path: Path, delimiter: str) -> None:
    """Refuse a quotation mark that stands where none may: Arrow takes `"AGENCY` in one row and `"AGENCY` in a later one
    for one value, and all rows between them are gone. Such a value has a line break, and few files have any, so that
    only those are read by the slow parser too."""
    for _ in _records(path, delimiter):
        pass


def _read_parquet(path: Path, mapping: SourceMapping, batch_rows: int) -> Iterator[pl.DataFrame]:
    with path.open("rb"):
        pass  # for the operating system's own words: Arrow words them in its way
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            schema = file.schema_arrow
            _demand_columns(path, schema.names, mapping)
            for name, kind in mapping.needs():
                _demand_type(path, name, kind, schema.field(name).type)
        columns = list(dict.fromkeys(name for name, _ in mapping.needs()))
        # Text stays as small as it is in the file until its size is known.
        texts = [name for name in columns if _is_text(schema.field(name).type)]
        with pq.ParquetFile(path, page_checksum_verification=True, read_dictionary=texts) as file:
            for batch in file.iter_batches(batch_rows, columns=columns):
                batch.validate(full=True)  # text that is not UTF-8 would panic in Polars
                _demand_size(path, batch)
                yield _frame(batch)
    except (pa.ArrowException, OSError, ValueError) as error:  # what Arrow raises from garbage
        fix = "copy or export the file again"
        raise SourceFileError(str(path), f"it is no intact Parquet file ({_first_line(error)})", fix) from error


def _is_text(kind: pa.DataType) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _demand_size(path: Path, batch: pa.RecordBatch) -> None:
    for name, column in zip(batch.schema.names, batch, strict=True):
        if not (types.is_dictionary(column.type) and _is_text(column.type.value_type) and len(column.dictionary)):
            continue
        sizes = pc.binary_length(column.dictionary).cast(pa.int64()).take(column.indices)
        total, longest = pc.sum(sizes).as_py() or 0, pc.max(sizes).as_py() or 0
        if total > LARGEST_BATCH or longest > LARGEST_CELL:
            problem = f"{len(column):,} rows hold {total:,} bytes of text, {longest:,} in one of them"
            fix = "check the export: a text of a transaction has 200 bytes at most"
            raise SourceFileError(str(path), problem, fix, column=name)


def _frame(batch: pa.RecordBatch) -> pl.DataFrame:
    # Column by column: Polars would read the schema's metadata too, and panic where that is garbage.
    columns = zip(batch.schema.names, batch, strict=True)
    return pl.DataFrame({name: pl.Series(name, _plain(column)) for name, column in columns})


def _plain(column: pa.Array) -> pa.Array:
    """Text without its dictionary: Polars would hash every value of one into its categories, in nine times the time."""
    return column.dictionary_decode() if types.is_dictionary(column.type) else column


def _demand_columns(path: Path, names: list[str], mapping: SourceMapping) -> None:
    if len(names) > MOST_COLUMNS:
        fix = f"export the columns that a mapping can name: {MOST_COLUMNS:,} at most"
        raise SourceFileError(str(path), f"it has {len(names):,} columns", fix, line=1)
    for number, name in enumerate(names, 1):
        if "\0" in name or len(name) > LONGEST_NAME:
            problem = f"the name of its column {number} has a NUL character or is longer than {LONGEST_NAME} characters"
            raise SourceFileError(str(path), problem, "export the file again", line=1, column=str(number))
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        which = "a value of its first line" if looks_like_data(names) else f"column {repeated[0]!r}"
        raise SourceFileError(str(path), f"{which} is there twice", "give each column its own name")
    missing = [name for name, _ in mapping.needs() if name not in names]
    if missing:
        lacks = ", ".join(dict.fromkeys(missing))
        has = "data in its first line, and no names" if looks_like_data(names) else ", ".join(names[:_NAMES_SHOWN])
        fix = f"add the column, or name the file's own in [columns] of a mapping (--mapping); the file has {has}"
        raise SourceFileError(str(path), f"it has no column {lacks}", fix, line=1, column=missing[0])


_TYPES: Final = {
    "text": (types.is_integer,),
    "amount": (types.is_integer, types.is_decimal32, types.is_decimal64, types.is_decimal128),
    "day": (types.is_date, lambda kind: types.is_timestamp(kind) and kind.tz is None),
}
_TEXT_TYPES: Final = (types.is_string, types.is_large_string, types.is_string_view, types.is_null)


def _demand_type(path: Path, name: str, kind: str, found: pa.DataType) -> None:
    value_type = found.value_type if types.is_dictionary(found) else found
    if any(is_fine(value_type) for is_fine in _TEXT_TYPES) or any(is_fine(found) for is_fine in _TYPES[kind]):
        return
    fixes = {
        "amount": "store amounts as decimal(18, 2) or text: a float does not hold them exactly",
        "day": "store days as date: a moment with a time zone may lie in either of two months",
        "text": "store identifiers as text",
    }
    raise SourceFileError(str(path), f"its type is {found}, not {kind}", fixes[kind], column=name)


def _header(path: Path, delimiter: str) -> list[str]:
    for names, _ in _records(path, delimiter):
        return names
    raise SourceFileError(str(path), "it is empty", "check the export: a CSV file has a header and rows")


def _records(path: Path, delimiter: str) -> Iterator[tuple[list[str], int]]:
    """Every record that is not blank, the header first, with the line that it ends on. Slow, and says what is wrong.

    Raises:
        SourceFileError: a byte that is not UTF-8, or a quotation mark without its other one.
    """
    # Bytes that are not UTF-8 become surrogates here, so that the line that holds them is known.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            for fields in reader:
                for number, text in enumerate(fields):
                    if not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text):
                        _refuse_encoding(path, reader.line_num, number, text)
                if fields:
                    yield fields, reader.line_num
        except csv.Error as error:
            fix = "close every quotation mark, and double those inside of a value"
            raise SourceFileError(str(path), f"it is not CSV ({error})", fix, line=reader.line_num) from error


def _refuse_encoding(path: Path, line: int, number: int, text: str) -> NoReturn:
    shown = pattern(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    raise SourceFileError(
        str(path),
        f"a value like {shown!r} is not UTF-8",
        "export the file as UTF-8",
        line=line,
        column=str(number + 1),
        value=text,
    )


def _refuse_csv(path: Path, delimiter: str, width: int, error: Exception) -> NoReturn:
    """Say what is wrong with a file that the fast parser gave up on."""
    line = 0
    for fields, line in _records(path, delimiter):
        if len(fields) != width:
            problem = f"it has {len(fields)} fields where the header has {width}"
            fix = "complete the row; if a field holds the delimiter, put it in quotation marks"
            raise SourceFileError(str(path), problem, fix, line=line, value=delimiter.join(fields)[:200]) from None
    if line <= 1:
        _refuse_emptiness(path)  # a header without its newline
    # Arrow quotes the row: not even as the cause of ours may its words get into a log.
    raise SourceFileError(str(path), f"it is not CSV ({type(error).__name__})", "export the file again") from None


def _refuse_emptiness(path: Path) -> NoReturn:
    raise SourceFileError(str(path), "it has no rows", "check the export: a month without transactions needs no file")


def _refuse_value(path: Path, mapping: SourceMapping, error: UnreadableValue) -> NoReturn:
    """Say on which line the unreadable value of a row is; in a Parquet file rows are what can be counted."""
    line = error.row_number
    if path.suffix.lower() == ".csv":
        for number, (_, line_of_row) in enumerate(_records(path, mapping.delimiter)):
            line = line_of_row
            if number == error.row_number:
                break
    raise SourceFileError(
        str(path), error.rule, error.fix, line=line, column=error.column, value=error.value
    ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
