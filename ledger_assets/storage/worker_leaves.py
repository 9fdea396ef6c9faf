"""What one worker writes: its leaves, its exceptions, its record, seal and checkpoint, in one transaction (A3, B3).

Here: one worker. Not here: which workers there are, in which order, and what becomes of the batch when one fails
(`staging.py`).
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from ledger_assets.accounting.masking import masked_text
from ledger_assets.accounting.posting import Expansion
from ledger_assets.accounting.seal import SEAL_VERSION, Dictionary, seal_blocks
from ledger_assets.storage.batches import Batch
from ledger_assets.storage.binary_copy import copy_frame
from ledger_assets.storage.database import connect, in_transaction, statement
from ledger_assets.storage.unstorable_text import storable


@dataclass(frozen=True)
class Written:
    """What a worker wrote."""

    transactions: int
    entries: int
    lines: int
    exceptions: int
    sealing_seconds: float = 0.0
    """Spent on hashing."""


def write_worker(
    url: str,
    batch: Batch,
    worker_number: int,
    expansion: Expansion,
    transactions: int,
    started_at: datetime,
    dictionary: Dictionary,
) -> Written:
    """One worker, one transaction. A failure is noted on the worker's record before it is raised."""
    worker = {"batch_id": batch.batch_id, "attempt": batch.attempt, "worker_number": worker_number}

    def write(connection: psycopg.Connection) -> float:
        cursor = connection.cursor()
        if cursor.execute(statement("control/is_written"), worker).fetchone() == (True,):
            return 0.0  # by a try whose confirmation got lost
        written = fill_leaves(cursor, worker, expansion.headers, expansion.lines)
        started = perf_counter()
        seal = seal_of(expansion.headers, expansion.lines, dictionary)
        seconds = perf_counter() - started
        if not expansion.exceptions.is_empty():
            copy_frame(cursor, sql.Identifier("control", "exception_queue"), _queued(batch, expansion.exceptions))
        cursor.execute(
            statement("staging/finish_worker"),
            worker | written | seal | {"records": transactions, "started_at": started_at},
        )
        return seconds

    try:
        sealing_seconds = in_transaction(url, write)
    except Exception as fault:
        note_failure(url, batch, worker_number, fault)
        raise
    entries, lines, exceptions = expansion.headers.height, expansion.lines.height, expansion.exceptions.height
    return Written(transactions, entries, lines, exceptions, sealing_seconds)


def note_failure(url: str, batch: Batch, worker_number: int, fault: BaseException) -> None:
    """Put a fault on the record of a worker, if the database can still be told, and the attempt is still the one."""
    worker = {"batch_id": batch.batch_id, "attempt": batch.attempt, "worker_number": worker_number}
    with suppress(psycopg.Error), connect(url) as connection:
        connection.execute(statement("control/fail_worker"), worker | {"error": told(fault)})


def told(fault: BaseException) -> str:
    """A fault as it may be stored and shown. What is no Exception is no fault: Ctrl-C, or a run that was cancelled."""
    if not isinstance(fault, Exception):
        return "interrupted"
    return storable(masked_text(f"{type(fault).__name__}: {fault}"))


def fill_leaves(
    cursor: psycopg.Cursor, worker: dict[str, Any], headers: pl.DataFrame, lines: pl.DataFrame
) -> dict[str, Any]:
    """Create and fill the two leaves of a worker, in the transaction that finishes it; without an entry it has none.

    `worker` has batch_id, attempt and worker_number. Returns what `staging/finish_worker` is to be told of them.
    """
    if headers.is_empty():
        return dict.fromkeys(("header_leaf", "line_leaf", "first_je_number", "last_je_number")) | {"lines": 0}
    numbers = {"first_je_number": headers["je_number"][0], "last_je_number": headers["je_number"][-1]}
    row = cursor.execute(statement("staging/create_leaves"), worker | numbers).fetchone()
    if row is None:
        raise AssertionError("staging.create_leaves returned no row")
    header_leaf, line_leaf = row
    copy_frame(cursor, _table(header_leaf), headers.drop("period"), freeze=True)  # the leaf's default
    copy_frame(cursor, _table(line_leaf), lines.drop("period"), freeze=True)
    return {"header_leaf": header_leaf, "line_leaf": line_leaf, "lines": lines.height, **numbers}


def seal_of(headers: pl.DataFrame, lines: pl.DataFrame, dictionary: Dictionary) -> dict[str, Any]:
    """The seal of a worker's rows, as `staging/finish_worker` is to be told of it."""
    return {
        "seal_version": SEAL_VERSION,
        "dictionary_hash": dictionary.hash,
        "block_hashes": seal_blocks(headers, lines, dictionary),
    }


def _table(qualified: str) -> sql.Identifier:
    return sql.Identifier(*qualified.split("."))


def _queued(batch: Batch, exceptions: pl.DataFrame) -> pl.DataFrame:
    """Exceptions in the columns of control.exception_queue."""
    return exceptions.select(
        "load_id",
        "row_number",
        "txn_id",
        "reason",
        "detail",
        batch_id=pl.lit(batch.batch_id),
        attempt=pl.lit(batch.attempt, dtype=pl.Int32),
        period=pl.lit(batch.period),
    )
