"""The rows of a worker's leaves for a verification: read from the tables, and made again from the source (E2)."""

import polars as pl
import psycopg
from psycopg import sql

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.posting import expand
from ledger_assets.accounting.seal import NO_DATE
from ledger_assets.accounting.seal_differences import HEADER_ROWS, LINE_ROWS, Rows
from ledger_assets.accounting.verification import SealedBatch
from ledger_assets.storage import rules
from ledger_assets.storage.database import connect, statement
from ledger_assets.storage.packed_rows import read
from ledger_assets.storage.slices import read_slice


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
    condition = sql.SQL("true") if numbers is None else sql.SQL("je_number BETWEEN {} AND {}").format(*numbers)
    frames, strays = [], 0
    for name, leaf, schema, order in (
        ("seal/header_rows", headers, HEADER_ROWS, ["je_number"]),
        ("seal/line_rows", lines, LINE_ROWS, ["je_number", "line_number"]),
    ):
        place = {"leaf": leaf, "condition": condition}
        try:
            with connection.transaction():  # what cannot be read must not end the verification of the rest
                frames.append(read(connection, sql.SQL(statement(name)).format(**place), schema, order=order))
                counting = sql.SQL(statement("seal/strays")).format(period=period, **place)
                ((count,),) = connection.execute(counting).fetchall()
        except psycopg.Error as fault:
            what = str(fault).splitlines()[0]
            raise Unreadable(leaf.as_string(), f"it cannot be read: {what}", "read it as a user who may") from fault
        strays += count
    header_frame, line_frame = frames
    original_date = pl.col("original_date")
    return Rows(header_frame.with_columns(pl.when(original_date != NO_DATE).then(original_date)), line_frame), strays


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
