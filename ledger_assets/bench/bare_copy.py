"""The limit: the rows of a close, and those of its source, written by the fastest bare way that we know.

Rows are prepared shard by shard and only the writing is timed, so the memory is that of two shards however many
transactions there are.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path

import polars as pl
import psycopg
from psycopg import sql

from ledger_assets.accounting.mapping import load_mapping
from ledger_assets.accounting.posting import CompiledRules, Expansion, expand
from ledger_assets.accounting.schemas import judge
from ledger_assets.storage.binary_copy import copy_frame
from ledger_assets.storage.database import connect, statement
from ledger_assets.storage.slices import read_slice
from ledger_assets.storage.source_files import read

WRITERS = 2
_WORTH_HELPERS = 32 * 1024 * 1024
"""Bytes of a table; a smaller one is sorted before a helper has started."""


class Stopwatch:
    """Adds up what the parts of a work take that are timed, in seconds and in CPU seconds.

    `cpu` tells the CPU seconds that client and server have used so far, or None.
    """

    def __init__(self, cpu: Callable[[], float | None]) -> None:
        self._cpu = cpu
        self.seconds = 0.0
        self.cpu_seconds: float | None = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        cpu_before, started = self._cpu(), time.perf_counter()
        yield
        self.seconds += time.perf_counter() - started
        cpu_after = self._cpu()
        if self.cpu_seconds is None or cpu_before is None or cpu_after is None:
            self.cpu_seconds = None
        else:
            self.cpu_seconds += cpu_after - cpu_before


@dataclass
class BareCopy:
    """What one pass took: writing, and the expansion alone that made the rows."""

    writing: Stopwatch
    expand_seconds: float = 0.0
    entries: int = 0
    lines: int = 0


def bare_copy(
    administrator_url: str, batch_id: str, rules: CompiledRules, *, period: str, cpu: Callable[[], float | None]
) -> BareCopy:
    """Write the entries of a batch into tables like its leaves, over two connections, and take them away.

    The same columns, CHECKs and default, binary COPY … FREEZE and the same primary keys, each pair of shards in a
    transaction of each connection. No guards, no seals, no gates. `cpu` is for the stopwatch.
    """
    outcome = BareCopy(Stopwatch(cpu))
    with ExitStack() as stack:
        reader = stack.enter_context(connect(administrator_url))
        writers = [stack.enter_context(connect(administrator_url, autocommit=True)) for _ in range(WRITERS)]
        reader.execute("CREATE SCHEMA bare")
        reader.commit()
        for writer in writers:
            # The two of them use both cores; helpers of their own got in each other's way (0.65 s instead of 0.38 s for
            # the keys of two million lines).
            writer.execute("SET max_parallel_maintenance_workers = 0")
        pool = stack.enter_context(ThreadPoolExecutor(WRITERS))
        shards = enumerate(_expanded(reader, batch_id, rules, period, outcome))
        while pair := list(islice(shards, WRITERS)):
            with outcome.writing.running():
                list(pool.map(_write_tables, writers, pair))
            pair.clear()  # before the next are made
        reader.rollback()  # it must not hold on to anything that is dropped
        # At the end and not pair by pair: writing into pages that the pass itself has just freed would be too easy.
        reader.execute("DROP SCHEMA bare CASCADE")
        reader.commit()
    return outcome


def _expanded(
    connection: psycopg.Connection, batch_id: str, rules: CompiledRules, period: str, outcome: BareCopy
) -> Iterator[Expansion]:
    """The entries of the close once more, worker by worker; none of them stays here when it has been handed out."""
    slices = connection.execute(statement("control/worker_slices"), {"batch_id": batch_id}).fetchall()
    for _, pieces in groupby(slices, key=itemgetter(0)):
        transactions = pl.concat([read_slice(connection, *piece) for _, *piece in pieces])
        yield _counted(transactions, rules, period, outcome)


def _counted(transactions: pl.DataFrame, rules: CompiledRules, period: str, outcome: BareCopy) -> Expansion:
    started = time.perf_counter()
    expansion = expand(transactions, rules, first_je_number=outcome.entries + 1, period=period)
    outcome.expand_seconds += time.perf_counter() - started
    outcome.entries += expansion.headers.height
    outcome.lines += expansion.lines.height
    return expansion


def _write_tables(connection: psycopg.Connection, numbered: tuple[int, Expansion]) -> None:
    number, expansion = numbered
    first, last = expansion.headers["je_number"][0], expansion.headers["je_number"][-1]
    with connection.transaction(), connection.cursor() as cursor:
        for kind, frame, amount, key in (
            ("header", expansion.headers, "total_amount > 0", "je_number"),
            ("line", expansion.lines, "amount <> 0", "je_number, line_number"),
        ):
            table = sql.Identifier("bare", f"{kind}_{number}")
            cursor.execute(
                sql.SQL(
                    "CREATE TABLE {table} (LIKE staging.{kind}, CHECK (period = {period}), "
                    "CHECK (je_number >= {first} AND je_number <= {last}), CHECK ({amount}))"
                ).format(
                    table=table, kind=sql.Identifier(f"je_{kind}"), period=frame["period"][0],
                    first=first, last=last, amount=sql.SQL(amount),
                )
            )  # fmt: skip
            default = sql.SQL("ALTER TABLE {} ALTER COLUMN period SET DEFAULT {}")
            cursor.execute(default.format(table, frame["period"][0]))
            copy_frame(cursor, table, frame.drop("period"), freeze=True)
            cursor.execute(sql.SQL("ALTER TABLE {} ADD PRIMARY KEY ({})").format(table, sql.SQL(key)))


def bare_load(administrator_url: str, file: Path, *, period: str, cpu: Callable[[], float | None]) -> Stopwatch:
    """Write the accepted rows of a loaded file into a leaf like its own: same columns, CHECKs and indexes.

    One connection, binary COPY … FREEZE; what all rows have alike is a default and not sent. Reading and judging the
    file is not timed.
    """
    writing = Stopwatch(cpu)
    with connect(administrator_url) as connection:
        cursor = connection.cursor()
        load_id, leaf, indexes = _leaf(cursor)
        bare = sql.Identifier("source", "bare_leaf")
        with writing.running():
            cursor.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING CONSTRAINTS)").format(bare, leaf))
            alike = sql.SQL("ALTER TABLE {} ALTER period SET DEFAULT {}, ALTER load_id SET DEFAULT {}")
            cursor.execute(alike.format(bare, period, load_id))
        for frame in _accepted(file, period):
            with writing.running():
                copy_frame(cursor, bare, frame, freeze=True)
        with writing.running():
            _index(cursor, bare, indexes)
            connection.commit()
        cursor.execute(sql.SQL("DROP TABLE {}").format(bare))
    return writing


def _index(cursor: psycopg.Cursor, table: sql.Identifier, indexes: list[sql.SQL]) -> None:
    """The quickest way that we know: sorted a few megabytes at a time, which stay in the processor's cache, by helpers
    if the table is large. PostgreSQL by itself gives each helper 32 MB, or does without.
    """
    cursor.execute("SET LOCAL maintenance_work_mem = '8MB'")
    (size, helpers) = cursor.execute(statement("bench/bare_leaf_size")).fetchone() or (0, 0)
    if size >= _WORTH_HELPERS:
        cursor.execute(sql.SQL("ALTER TABLE {} SET (parallel_workers = {})").format(table, helpers))
    for index in indexes:
        cursor.execute(index)


def _leaf(cursor: psycopg.Cursor) -> tuple[int, sql.Identifier, list[sql.SQL]]:
    """The one load's number, its leaf, and what makes the same indexes on the bare one."""
    found = cursor.execute(statement("bench/source_leaf")).fetchone()
    if found is None:
        raise RuntimeError("a benchmark loads one file before it measures the bare COPY of it")
    load_id, schema, name, indexes = found
    return load_id, sql.Identifier(schema, name), [sql.SQL(index) for index in indexes]


def _accepted(file: Path, period: str) -> Iterator[pl.DataFrame]:
    for mapped in read(file, load_mapping(None), period):
        currency = mapped.frame["currency"][0]
        accepted = judge(mapped.frame, period=period, currency=currency, raw=mapped.raw).accepted
        yield accepted.drop("period", "load_id", strict=False)
