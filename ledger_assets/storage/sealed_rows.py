"""The rows of a worker's leaves for a verification: read from the tables, and made again from the source (E2)."""

import io

import polars as pl
import psycopg
from psycopg import sql

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.posting import expand
from ledger_assets.accounting.seal_differences import HEADER_ROWS, LINE_ROWS, Rows
from ledger_assets.accounting.verification import SealedBatch
from ledger_assets.storage import rules
from ledger_assets.storage.database import connect, statement
from ledger_assets.storage.slices import read_slice

IN_PERIOD = "in_period"
_NULLABLE = ("original_date", "source_id")
_NOTHING = -(2**31)
"""Stands for a null in a column that has none as long as nobody alters the table; no such value is ever sealed."""


class Unreadable(LedgerError):  # noqa: N818 - it says what happened
    """Rows that are there, and cannot be looked at."""


def leaf_name(connection: psycopg.Connection, leaf: int | None) -> sql.Identifier | None:
    """Schema and name of a leaf, wherever it lies now; None when there is no such table."""
    row = connection.execute(statement("seal/leaf_name"), {"leaf": leaf}).fetchone()
    return None if row is None else sql.Identifier(*row)


def read_rows(
    connection: psycopg.Connection,
    headers: sql.Identifier,
    lines: sql.Identifier,
    period: str,
    numbers: tuple[int, int] | None = None,
) -> tuple[Rows, int]:
    """The rows of two leaves in the order of their numbers, and how many of them do not say they are of the period.

    `numbers` limits them to the entries from the first to the last of the two; without, all are read.

    Raises Unreadable when the reader may not, or when the tables do not have the columns of entries.
    """
    header_frame, strays = _read(connection, "seal/header_rows", headers, HEADER_ROWS, period, numbers)
    line_frame, more_strays = _read(connection, "seal/line_rows", lines, LINE_ROWS, period, numbers)
    return Rows(
        _sorted(header_frame, "je_number"), _sorted(line_frame, "je_number", "line_number")
    ), strays + more_strays


def _read(
    connection: psycopg.Connection,
    name: str,
    leaf: sql.Identifier,
    schema: pl.Schema,
    period: str,
    numbers: tuple[int, int] | None,
) -> tuple[pl.DataFrame, int]:
    query = sql.SQL(statement(name)).format(leaf=leaf, period=period)
    if numbers is not None:
        query += sql.SQL(" WHERE je_number BETWEEN {} AND {}").format(*numbers)
    buffer = io.BytesIO()
    columns = pl.Schema([*schema.items(), (IN_PERIOD, pl.String())])
    try:
        # In a savepoint: what cannot be read must not end the verification of the rest.
        with (
            connection.transaction(),
            connection.cursor().copy(sql.SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(query)) as copy,
        ):
            for block in copy:
                buffer.write(block)
        if buffer.tell() == 0:
            return schema.to_frame(), 0
        buffer.seek(0)
        frame = pl.read_csv(buffer, has_header=False, schema=columns, empty_string_is_null=False)
    except (psycopg.Error, pl.exceptions.PolarsError) as fault:
        what = str(fault).splitlines()[0]
        raise Unreadable(leaf.as_string(), f"it cannot be read: {what}", "read it as a user who may") from fault
    strays = int((frame[IN_PERIOD] != "t").sum())
    filled = [
        pl.col(n).fill_null(pl.lit(0 if t == pl.Int16 else _NOTHING, t))
        for n, t in schema.items()
        if n not in _NULLABLE
    ]
    return frame.select(schema.names()).with_columns(filled), strays


def _sorted(frame: pl.DataFrame, *key: str) -> pl.DataFrame:
    """Tables are written in order, so this is rarely work."""
    number = frame[key[0]]
    falls = number.diff() < 0
    for column in key[1:]:
        falls |= (number.diff() == 0) & (frame[column].diff() < 0)
    return frame.sort(key) if falls.any() else frame


def rows_from_source(url: str, batch: SealedBatch, worker_number: int, first: int) -> Rows:
    """The entries of a worker made again, from its source rows by the version of the rules that the batch names.

    Whether they are the entries that were sealed, only their hash can say. Raises Unreadable when that cannot be done:
    the source is archived, the entries were not made from transactions, the rules are no longer what they were.
    """
    parameters = {"batch_id": batch.batch_id}
    where = f"{batch.batch_id}, worker {worker_number}"
    try:
        with connect(url) as connection:
            slices = connection.execute(statement("control/worker_slices"), parameters).fetchall()
            # Each piece says its own month: late rows lie in that of their delivery, not in the batch's.
            pieces = [read_slice(connection, *piece) for number, *piece in slices if number == worker_number]
            if not pieces:
                raise Unreadable(where, "it has no source rows", "look at the entries that are named")
            compiled = rules.load(connection, batch.rule_set, batch.rule_version).compiled()
            connection.rollback()
        expansion = expand(pl.concat(pieces), compiled, first_je_number=first, period=batch.period)
    except (psycopg.Error, pl.exceptions.PolarsError) as fault:
        raise Unreadable(where, str(fault).splitlines()[0], "look at the entries that are named") from fault
    return Rows.of(expansion.headers, expansion.lines)
