"""Stage a batch: read its source rows, expand them into entries, write each worker's leaves (A3, B3, B5).

A stream of shards. One thread reads and expands in the order of the workers, because a worker's numbers start where
those of the one before end; two threads write. At most four shards are in memory at a time, whatever the size of the
month.

A worker's leaves, its exceptions, its record and its checkpoint are one transaction, so a kill leaves whole workers
or none.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from threading import BoundedSemaphore
from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from ledger_assets.accounting.posting import CompiledRules, Expansion, expand
from ledger_assets.storage.batches import Batch, fail
from ledger_assets.storage.batches import batch as read_batch
from ledger_assets.storage.binary_copy import copy_frame
from ledger_assets.storage.database import connect, in_transaction, statement
from ledger_assets.storage.slices import read_slice

WRITERS = 2
SHARDS_IN_MEMORY = 4

Slice = tuple[int, int, int]  # load_id, first and last row number
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Staged:
    """What staging a batch wrote."""

    transactions: int
    entries: int
    lines: int
    exceptions: int


def stage(
    url: str, batch: Batch, rules: CompiledRules, *, performed_by: str, progress: Progress = lambda _: None
) -> Staged:
    """Write all workers of an opened batch, and move it to VALIDATING.

    Whatever goes wrong, the batch is recorded as FAILED with the reason, completed leaves are kept for inspection,
    and the error is raised. `progress` is told the transactions of each worker as it completes.
    """
    try:
        staged = _write_workers(url, batch, rules, progress)
        in_transaction(url, lambda connection: _finish(connection, batch, performed_by))
    except BaseException as fault:
        # Without a database there is nobody to tell; the next staging of the month replaces this attempt all the same.
        with suppress(psycopg.Error), connect(url) as connection:
            fail(connection, batch, performed_by=performed_by, reason=f"staging: {type(fault).__name__}: {fault}")
        raise
    return staged


def _write_workers(url: str, batch: Batch, rules: CompiledRules, progress: Progress) -> Staged:
    in_memory = BoundedSemaphore(SHARDS_IN_MEMORY)
    futures: list[Future[Staged]] = []
    next_number = batch.first_je_number

    def write(worker_number: int, expansion: Expansion, transactions: int, first: int, started_at: datetime) -> Staged:
        try:
            staged = _write_worker(url, batch, worker_number, expansion, transactions, first, started_at)
            progress(transactions)
            return staged
        finally:
            in_memory.release()

    with ThreadPoolExecutor(WRITERS) as pool:
        for worker_number, slices in in_transaction(url, lambda connection: _planned(connection, batch)):
            in_memory.acquire()
            _raise_first_fault(futures)
            started_at = _start(url, batch, worker_number)
            transactions = _read(url, batch, slices)
            expansion = expand(transactions, rules, first_je_number=next_number, period=batch.period)
            futures.append(pool.submit(write, worker_number, expansion, transactions.height, next_number, started_at))
            next_number += expansion.headers.height
        wait(futures)
    _raise_first_fault(futures)
    return _sum(future.result() for future in futures)


def _finish(connection: psycopg.Connection, batch: Batch, performed_by: str) -> None:
    """Move the batch to VALIDATING, unless that was done and only its confirmation got lost."""
    now = read_batch(connection, batch.batch_id)
    if (now.attempt, now.state) != (batch.attempt, "VALIDATING"):
        connection.execute(
            statement("staging/finish_batch"),
            {"batch_id": batch.batch_id, "attempt": batch.attempt, "performed_by": performed_by},
        )


def _planned(connection: psycopg.Connection, batch: Batch) -> list[tuple[int, list[Slice]]]:
    rows = connection.execute(statement("control/worker_slices"), {"batch_id": batch.batch_id}).fetchall()
    return [
        (worker_number, [(load_id, first, last) for _, load_id, first, last in pieces])
        for worker_number, pieces in groupby(rows, key=itemgetter(0))
    ]


def _read(url: str, batch: Batch, slices: Iterable[Slice]) -> pl.DataFrame:
    return pl.concat(
        in_transaction(url, lambda connection: [read_slice(connection, batch.period, *piece) for piece in slices])
    )


def _start(url: str, batch: Batch, worker_number: int) -> datetime:
    this = {"batch_id": batch.batch_id, "worker_number": worker_number}
    row = in_transaction(url, lambda connection: connection.execute(statement("control/start_worker"), this).fetchone())
    if row is None:
        raise RuntimeError(f"worker {worker_number} of {batch.batch_id} is gone: another run replaced the batch")
    started_at: datetime = row[0]
    return started_at


def _raise_first_fault(futures: Iterable[Future[Staged]]) -> None:
    for future in futures:
        if future.done():
            future.result()


def _sum(parts: Iterable[Staged]) -> Staged:
    total = Staged(0, 0, 0, 0)
    for part in parts:
        total = Staged(
            total.transactions + part.transactions,
            total.entries + part.entries,
            total.lines + part.lines,
            total.exceptions + part.exceptions,
        )
    return total


def _write_worker(
    url: str,
    batch: Batch,
    worker_number: int,
    expansion: Expansion,
    transactions: int,
    first_number: int,
    started_at: datetime,
) -> Staged:
    """One worker, one transaction. A failure is noted on the worker's record before it is raised."""
    worker = {"batch_id": batch.batch_id, "attempt": batch.attempt, "worker_number": worker_number}

    def write(connection: psycopg.Connection) -> None:
        cursor = connection.cursor()
        if cursor.execute(statement("control/is_written"), worker).fetchone() == (True,):
            return  # by a try whose confirmation got lost
        written = _fill_leaves(cursor, worker, expansion, first_number)
        if not expansion.exceptions.is_empty():
            copy_frame(cursor, sql.Identifier("control", "exception_queue"), _queued(batch, expansion.exceptions))
        cursor.execute(
            statement("staging/finish_worker"), worker | written | {"records": transactions, "started_at": started_at}
        )

    try:
        in_transaction(url, write)
    except Exception as fault:
        with suppress(psycopg.Error), connect(url) as connection:
            connection.execute(statement("control/fail_worker"), worker | {"error": f"{type(fault).__name__}: {fault}"})
        raise
    return Staged(transactions, expansion.headers.height, expansion.lines.height, expansion.exceptions.height)


def _fill_leaves(
    cursor: psycopg.Cursor, worker: dict[str, Any], expansion: Expansion, first_number: int
) -> dict[str, str | int | None]:
    """Create and fill the two leaves; a worker without a single entry has none."""
    entries = expansion.headers.height
    if entries == 0:
        return dict.fromkeys(("header_leaf", "line_leaf", "first_je_number", "last_je_number")) | {"lines": 0}
    numbers = {"first_je_number": first_number, "last_je_number": first_number + entries - 1}
    row = cursor.execute(statement("staging/create_leaves"), worker | numbers).fetchone()
    if row is None:
        raise AssertionError("staging.create_leaves returned no row")
    header_leaf, line_leaf = row
    copy_frame(cursor, _table(header_leaf), expansion.headers, freeze=True)
    copy_frame(cursor, _table(line_leaf), expansion.lines, freeze=True)
    return {"header_leaf": header_leaf, "line_leaf": line_leaf, "lines": expansion.lines.height, **numbers}


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
