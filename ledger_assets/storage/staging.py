"""Stage a batch: read its source rows, expand them into entries, write each worker's leaves (A3, B3, B5).

A stream of shards. Two threads read ahead; one expands in the order of the workers, because a worker's numbers start
where those of the one before end; two write. At most four shards of entries are in memory at a time, and the
transactions of three, whatever the size of the month.

A worker's leaves, its exceptions, its record and its checkpoint are one transaction, so a kill leaves whole workers
or none. What was stored is measured for the gates while the next worker's rows are on their way; the gates read again
what changed since.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from operator import itemgetter
from threading import BoundedSemaphore
from time import perf_counter
from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from ledger_assets.accounting.masking import masked_text
from ledger_assets.accounting.posting import CompiledRules, Expansion, expand
from ledger_assets.accounting.seal import SEAL_VERSION, Dictionary, seal_blocks
from ledger_assets.storage.batches import Batch, explained, fail
from ledger_assets.storage.batches import batch as read_batch
from ledger_assets.storage.binary_copy import copy_frame
from ledger_assets.storage.control_totals import measure_loads, measure_worker
from ledger_assets.storage.database import connect, in_transaction, statement
from ledger_assets.storage.seals import read_dictionary
from ledger_assets.storage.slices import read_slice
from ledger_assets.storage.unstorable_text import storable

READERS = 2
WRITERS = 2
SHARDS_IN_MEMORY = 4

Slice = tuple[str, int, int, int]  # the load's own month, load_id, first and last row number
Progress = Callable[[int], None]
Shard = tuple[int, Callable[[int], tuple[Expansion, int]]]
"""A worker's number, and what makes its entries: from the first number on, with how many records they are of."""


@dataclass(frozen=True)
class Staged:
    """What staging a batch wrote."""

    transactions: int
    entries: int
    lines: int
    exceptions: int
    sealing_seconds: float = 0.0
    """Spent on hashing, added up over the writers."""


def stage(
    url: str, batch: Batch, rules: CompiledRules, *, performed_by: str, progress: Progress = lambda _: None
) -> Staged:
    """Write all workers of an opened batch, and move it to VALIDATING.

    Whatever goes wrong, the batch is recorded as FAILED with the reason, completed leaves are kept for inspection,
    and the error is raised. `progress` is told the transactions of each worker as it completes.
    """
    with closing(_journaled(url, batch, rules)) as shards:
        return stage_shards(url, batch, shards, performed_by=performed_by, progress=progress)


def stage_shards(
    url: str,
    batch: Batch,
    shards: Iterable[Shard],
    *,
    performed_by: str,
    progress: Progress = lambda _: None,
) -> Staged:
    """As `stage`, for entries from wherever the shards take them; each is made when its turn comes."""
    try:
        with explained():  # an abort is told by the database
            staged = _write_workers(url, batch, shards, progress)
            in_transaction(url, lambda connection: _finish(connection, batch, performed_by))
    except BaseException as fault:
        # Without a database there is nobody to tell; the next staging of the month replaces this attempt all the same.
        with suppress(psycopg.Error), connect(url) as connection:
            fail(connection, batch, performed_by=performed_by, reason=f"staging: {_told(fault)}")
        raise
    return staged


def _journaled(url: str, batch: Batch, rules: CompiledRules) -> Generator[Shard]:
    def entries(transactions: Future[pl.DataFrame], first_number: int) -> tuple[Expansion, int]:
        frame = transactions.result()
        return expand(frame, rules, first_je_number=first_number, period=batch.period), frame.height

    planned = in_transaction(url, lambda connection: _planned(connection, batch))
    with closing(_read_ahead(url, planned)) as read:
        for worker_number, transactions in read:
            yield worker_number, partial(entries, transactions)
    measure_loads(url, batch.batch_id)  # all is read; the writers are still at work


def _read_ahead(url: str, planned: Iterable[tuple[int, list[Slice]]]) -> Generator[tuple[int, Future[pl.DataFrame]]]:
    """The transactions of each worker in turn, while those of the next ones are being read.

    To be closed by whoever leaves it before its end. Left to the garbage collector it would wait for its threads in
    whatever thread that happens to run, which can be one that they wait for.
    """
    ahead: deque[tuple[int, Future[pl.DataFrame]]] = deque()
    with ThreadPoolExecutor(READERS, "source-reader") as readers:
        for worker_number, slices in planned:
            ahead.append((worker_number, readers.submit(in_transaction, url, partial(_read, slices=slices))))
            if len(ahead) > READERS:
                yield ahead.popleft()
        yield from ahead


def _read(connection: psycopg.Connection, slices: list[Slice]) -> pl.DataFrame:
    connection.execute(statement("source/read_without_helpers"))
    return pl.concat([read_slice(connection, *piece) for piece in slices])


def _write_workers(url: str, batch: Batch, shards: Iterable[Shard], progress: Progress) -> Staged:
    in_memory = BoundedSemaphore(SHARDS_IN_MEMORY)
    futures: list[Future[Staged]] = []
    next_number = batch.first_je_number

    def write(worker_number: int, expansion: Expansion, transactions: int, started_at: datetime) -> Staged:
        try:
            staged = _write_worker(url, batch, worker_number, expansion, transactions, started_at, dictionary)
        finally:
            in_memory.release()
        progress(transactions)
        measure_worker(url, batch.batch_id, worker_number)
        return staged

    dictionary = in_transaction(url, lambda connection: read_dictionary(connection, batch.batch_id))
    with ThreadPoolExecutor(WRITERS) as pool:
        for worker_number, entries in shards:
            in_memory.acquire()
            _raise_first_fault(futures)
            started_at = in_transaction(url, partial(_start, batch=batch, worker_number=worker_number))
            expansion, records = entries(next_number)
            futures.append(pool.submit(write, worker_number, expansion, records, started_at))
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
        (worker_number, [(month, load_id, first, last) for _, month, load_id, first, last in pieces])
        for worker_number, pieces in groupby(rows, key=itemgetter(0))
    ]


def _start(connection: psycopg.Connection, batch: Batch, worker_number: int) -> datetime:
    row = connection.execute(
        statement("control/start_worker"), {"batch_id": batch.batch_id, "worker_number": worker_number}
    ).fetchone()
    if row is None or row[0] is None:
        connection.execute(statement("staging/require_attempt"), {"batch_id": batch.batch_id, "attempt": batch.attempt})
        raise RuntimeError(f"worker {worker_number} of {batch.batch_id} is gone: another run replaced the batch")
    started_at: datetime = row[0]
    return started_at


def _raise_first_fault(futures: Iterable[Future[Staged]]) -> None:
    for future in futures:
        if future.done():
            future.result()


def _sum(parts: Iterable[Staged]) -> Staged:
    total = Staged(0, 0, 0, 0, 0.0)
    for part in parts:
        total = Staged(
            total.transactions + part.transactions,
            total.entries + part.entries,
            total.lines + part.lines,
            total.exceptions + part.exceptions,
            total.sealing_seconds + part.sealing_seconds,
        )
    return total


def _write_worker(
    url: str,
    batch: Batch,
    worker_number: int,
    expansion: Expansion,
    transactions: int,
    started_at: datetime,
    dictionary: Dictionary,
) -> Staged:
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
        with suppress(psycopg.Error), connect(url) as connection:
            connection.execute(statement("control/fail_worker"), worker | {"error": _told(fault)})
        raise
    entries, lines, exceptions = expansion.headers.height, expansion.lines.height, expansion.exceptions.height
    return Staged(transactions, entries, lines, exceptions, sealing_seconds)


def _told(fault: BaseException) -> str:
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
