"""Rows of months that are archived, read from their files (B7).

Here: which files hold what, and their rows, with what is wrong with a file. Not here: writing them (archive_files), and
whether the rows are those that were posted, which only the seals can say (verification).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
import psycopg
import pyarrow as pa
import pyarrow.parquet

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.seal_differences import Rows
from ledger_assets.storage.reading import records

MANIFEST: Final = "MANIFEST.json"

HEADERS: Final = pl.Schema(
    {
        "je_number": pl.Int32,
        "je_date": pl.Date,
        "original_date": pl.Date,
        "template_id": pl.Int16,
        "source_entry": pl.Int16,
        "total_amount": pl.Int64,
        "source_id": pl.String,
    }
)
LINES: Final = pl.Schema({"je_number": pl.Int32, "line_number": pl.Int16, "account_id": pl.Int16, "amount": pl.Int64})
_TEXTS: Final = ("txn_id", "txn_type", "policy_id", "product_code", "channel")
AMOUNTS: Final = ("gross_amount", "tabarru_amount", "tanahud_amount", "ujroh_amount")
TRANSACTIONS: Final = pl.Schema(
    [
        *((name, pl.String()) for name in _TEXTS),
        *((name, pl.Date()) for name in ("txn_date", "bank_value_date")),
        ("currency", pl.String()),
        *((name, pl.Decimal(18, 2)) for name in AMOUNTS),
        ("row_number", pl.Int32()),
    ]
)
"""As they were delivered, amounts in major units; month and load are those of the file."""
SCHEMAS: Final[Mapping[str, pl.Schema]] = {"headers": HEADERS, "lines": LINES, "transactions": TRANSACTIONS}


class ArchiveMissing(LedgerError):  # noqa: N818 - what happened
    """A file of an archive cannot be looked at: nobody can say whether it is as it was."""


class ArchiveAltered(LedgerError):  # noqa: N818 - what happened
    """A file of an archive is not the one that was archived."""


@dataclass(frozen=True)
class Stored:
    """A file of an archive, as it was recorded."""

    path: Path
    content: str
    row_count: int
    sha256: str


class ArchivedWorker(NamedTuple):
    """The two files in which a worker's entries lie."""

    headers: Stored
    lines: Stored


def read_bytes(path: Path) -> bytes:
    """Raises ArchiveMissing."""
    try:
        return path.read_bytes()
    except OSError as fault:
        fix = "bring the file back (LEDGER_ARCHIVE says where archives lie); without it the rows are lost"
        raise ArchiveMissing(str(path), f"it cannot be read: {fault.strerror or fault}", fix) from fault


def looked_at(file: Stored, where: pl.Expr | None = None) -> tuple[pl.DataFrame | None, list[str]]:
    """The rows of a file, if it has any that can be read, and everything that is wrong with it. Raises ArchiveMissing.

    What is hashed is what is read: nobody can exchange the file in between. With `where` only the rows for which it
    holds, and of the file only the row groups that may have such; the whole of one that is not as it was archived.
    """
    content, problems = read_bytes(file.path), []
    schema = SCHEMAS[file.content]
    if sha256(content).hexdigest() != file.sha256:
        problems.append("its bytes are not those that were archived: another SHA-256")
    elif where is not None:
        return pl.scan_parquet(BytesIO(content)).filter(where).select(schema.names()).collect().cast(schema), []
    try:
        # Without Arrow's threads: where Polars and they were in one process, every third aborted at its end, after all
        # was done and said, with 134 in place of its exit code (pyarrow 26, polars 2.1).
        table = pa.parquet.ParquetFile(BytesIO(content)).read(use_threads=False)
        frame = pl.DataFrame(pl.from_arrow(table)).select(schema.names())
        frame = frame.cast(schema) if frame.schema != schema else frame
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError, ValueError) as fault:
        return None, [*problems, f"its rows cannot be read: {_first_line(fault)}"]
    if frame.height != file.row_count:
        problems.append(f"it holds {frame.height:,} rows, {file.row_count:,} were archived")
    return frame, problems


def read_strictly(file: Stored, where: pl.Expr | None = None) -> pl.DataFrame:
    """The rows of a file that is as it was archived, or those for which `where` holds, in the order of the file.

    Raises ArchiveMissing, ArchiveAltered.
    """
    frame, problems = looked_at(file, where)
    if frame is None or problems:
        raise altered(str(file.path), problems)
    return frame


def altered(culprit: str, problems: Sequence[str]) -> ArchiveAltered:
    """The error for a file with these problems."""
    fix = "find out who changed it, and bring the file back from a copy; ledger-assets verify says what differs"
    return ArchiveAltered(culprit, "; ".join(problems), fix)


def entries(worker: ArchivedWorker, numbers: tuple[int, int] | None = None) -> tuple[Rows | None, list[str]]:
    """The entries of a worker, or those from the first to the last of `numbers`, sorted, and what is wrong with its
    files, each named. Raises ArchiveMissing.
    """
    where = None if numbers is None else pl.col("je_number").is_between(*numbers)
    frames, problems = [], []
    for file in worker:
        frame, found = looked_at(file, where)
        frames.append(frame)
        problems += [f"{file.path}: {problem}" for problem in found]
    headers, lines = frames
    if headers is None or lines is None:
        return None, problems
    return Rows.of(headers.sort("je_number"), lines.sort("je_number", "line_number")), problems


# ------------------------------------------------------------------------------------------------ what is archived


def standing(connection: psycopg.Connection, root: Path | None, period: str | None = None) -> list[dict[str, Any]]:
    """The files that are archived now, with their `path`; an archive without a file has one row with file_name None."""
    # A reader who was not told where archives lie finds none, and says so.
    place = root or Path("LEDGER_ARCHIVE")
    found = records(connection, "archive/standing_files", period=period)
    return [row | {"path": place / row["directory"] / (row["file_name"] or MANIFEST)} for row in found]


def stored(row: Mapping[str, Any]) -> Stored:
    """A row of `standing` as a file."""
    return Stored(row["path"], row["content"], row["row_count"], row["sha256"])


def workers_of(files: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], ArchivedWorker]:
    """Batch and worker -> its files, of rows as `standing` gives them."""
    pairs: dict[tuple[str, int], dict[str, Stored]] = {}
    for row in files:
        if row["batch_id"] is not None:
            pairs.setdefault((row["batch_id"], row["worker_number"]), {})[row["content"]] = stored(row)
    return {
        key: ArchivedWorker(pair["headers"], pair["lines"])
        for key, pair in pairs.items()
        if {"headers", "lines"} <= set(pair)
    }


def line_frames(connection: psycopg.Connection, root: Path | None, periods: Sequence[str]) -> Iterator[pl.DataFrame]:
    """The archived lines of the months, file by file. Raises ArchiveMissing, ArchiveAltered."""
    for row in standing(connection, root):
        if row["content"] == "lines" and row["period"] in periods:
            yield read_strictly(stored(row))


def _first_line(fault: Exception) -> str:
    return (str(fault).splitlines() or [type(fault).__name__])[0]
