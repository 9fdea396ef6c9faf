"""Stage a batch: read its source rows, expand them into entries, let each worker write its leaves (A3, B3, B5).

A stream of shards. Two threads read ahead; one expands in the order of the workers, because a worker's numbers start
where those of the one before end; two write. At most four shards of entries are in memory at a time, and the
transactions of three, whatever the size of the month.

A worker's leaves, its exceptions, its record and its checkpoint are one transaction, so a kill leaves whole workers
or none; those that are whole are kept by the next attempt, if it resumes the batch (`control.resume_batch`). What was
stored is measured for the gates while the next worker's rows are on their way; the gates read again what changed since.

What becomes of the batch when a worker fails is decided by `accounting/worker_failures.py`.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from operator import itemgetter
from threading import BoundedSemaphore, Lock
from time import perf_counter
from traceback import clear_frames

import polars as pl
import psycopg

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.posting import CompiledRules, Expansion, expand
from ledger_assets.accounting.progress import Progress
from ledger_assets.accounting.seal import Dictionary
from ledger_assets.accounting.worker_failures import TRIES, Decision, decide, in_words
from ledger_assets.storage.batches import OVERTAKEN, WRONG_STATE, Batch, Overtaken, explained, fail
from ledger_assets.storage.batches import batch as read_batch
from ledger_assets.storage.control_totals import measure_loads, measure_worker
from ledger_assets.storage.database import connect, in_transaction, kept_connections, statement, was_cut_off
from ledger_assets.storage.seals import read_dictionary
from ledger_assets.storage.slices import read_slice
from ledger_assets.storage.worker_leaves import Written, note_failure, told, write_worker

READERS = 2
WRITERS = 2
SHARDS_IN_MEMORY = 4
_ENDED = "55000"  # staging.require_attempt: the batch is not being staged any more

Slice = tuple[str, int, int, int]  # the load's own month, load_id, first and last row number
Tell = Callable[[Progress], None]
"""Is told where the batch stands each time that a worker completes; from several threads, one at a time."""
Shard = tuple[int, Callable[[int], tuple[Expansion, int]]]
"""A worker's number, and what makes its entries: from the first number on, with how many records they are of."""
Shards = Callable[[Sequence[int]], Generator[Shard]]
"""The shards of the workers of these numbers, in the order in which their entries are numbered."""


class WorkersFailed(LedgerError):  # noqa: N818 - what happened
    """Workers failed, and the batch cannot or may not mend it by itself; what the others wrote is kept."""


@dataclass(frozen=True)
class Staged:
    """What a batch consists of when it is staged, and what of it was there before."""

    transactions: int
    entries: int
    lines: int
    exceptions: int
    workers: int = 0
    workers_kept: int = 0
    transactions_kept: int = 0
    """Of workers that an earlier attempt completed: this one did not read them."""
    workers_healed: int = 0
    workers_missing: tuple[int, ...] = ()
    """Only after the restart of one worker: others have not completed, so the batch is not staged to its end."""
    sealing_seconds: float = 0.0
    """Spent on hashing, added up over the writers."""

    @property
    def resumed(self) -> str | None:
        """For people; None for a batch that was staged from its beginning."""
        return f"resumed: {self.workers_kept} of {self.workers} workers were complete" if self.workers_kept else None


@dataclass(frozen=True)
class _SoFar:
    """What the record says of a batch before this staging of it: its workers in order, and what was counted."""

    workers: dict[int, tuple[str, int, int, int]]  # status, entries, lines, records
    expected: int
    exceptions: int

    @property
    def kept(self) -> dict[int, tuple[str, int, int, int]]:
        return {number: worker for number, worker in self.workers.items() if worker[0] == "COMPLETED"}

    @property
    def missing(self) -> list[int]:
        return [number for number in self.workers if number not in self.kept]

    def entries_between(self, before: int, number: int) -> int:
        """Those of kept workers that stand between two others."""
        return sum(entries for kept, (_, entries, _, _) in self.kept.items() if before < kept < number)


def stage(
    url: str,
    batch: Batch,
    rules: CompiledRules,
    *,
    performed_by: str,
    progress: Tell = lambda _: None,
    only: int | None = None,
) -> Staged:
    """Write the workers of an opened batch that are not complete, and move it to VALIDATING.

    Whatever goes wrong, the batch is recorded as FAILED with the reason, completed workers are kept, and the error is
    raised: WorkersFailed where workers failed (`accounting/worker_failures.py` has the rules), BatchStateError for a
    batch that was aborted. With `only`, no other worker than that one is written.
    """
    return stage_shards(
        url, batch, partial(_journaled, url, batch, rules), performed_by=performed_by, progress=progress, only=only
    )


def stage_shards(
    url: str,
    batch: Batch,
    shards: Shards,
    *,
    performed_by: str,
    progress: Tell = lambda _: None,
    only: int | None = None,
) -> Staged:
    """As `stage`, for entries from wherever the shards take them; each is made when its turn comes."""
    try:
        with claimed(url, batch), explained():  # an abort is told by the database
            staged = _Staging(url, batch, shards, progress).write(only)
            if not staged.workers_missing:
                in_transaction(url, lambda connection: _finish(connection, batch, performed_by))
    except BaseException as fault:
        # Without a database there is nobody to tell; the next staging of the month goes on from here all the same.
        with suppress(psycopg.Error), connect(url) as connection:
            fail(connection, batch, performed_by=performed_by, reason=f"staging: {told(fault)}")
        raise
    if staged.workers_missing:
        numbers = ", ".join(map(str, staged.workers_missing))
        left = f"worker {numbers} has not" if len(staged.workers_missing) == 1 else f"workers {numbers} have not"
        reason = f"staging: worker {only} was restarted and has completed; {left}"
        in_transaction(url, lambda connection: fail(connection, batch, performed_by=performed_by, reason=reason))
    return staged


@contextmanager
def claimed(url: str, batch: Batch) -> Iterator[None]:
    """Let others see that somebody works on this attempt (`control.stager_of`).

    Courtesy, no lock: who may write is decided by the attempt. So that it cannot be shown disturbs nobody's work.
    """
    with ExitStack() as held:
        with suppress(psycopg.Error):
            connection = held.enter_context(closing(connect(url, autocommit=True)))
            connection.execute(statement("control/claim_batch"), {"batch_id": batch.batch_id, "attempt": batch.attempt})
        yield


def _journaled(url: str, batch: Batch, rules: CompiledRules, workers: Sequence[int]) -> Generator[Shard]:
    def entries(transactions: Future[pl.DataFrame], first_number: int) -> tuple[Expansion, int]:
        frame = transactions.result()
        return expand(frame, rules, first_je_number=first_number, period=batch.period), frame.height

    wanted = set(workers)
    planned = in_transaction(url, lambda connection: _planned(connection, batch))
    with closing(_read_ahead(url, [(number, slices) for number, slices in planned if number in wanted])) as read:
        for worker_number, transactions in read:
            yield worker_number, partial(entries, transactions)
    measure_loads(url, batch.batch_id)  # all is read; the writers are still at work


def _read_ahead(url: str, planned: Iterable[tuple[int, list[Slice]]]) -> Generator[tuple[int, Future[pl.DataFrame]]]:
    """The transactions of each worker in turn, while those of the next ones are being read.

    To be closed by whoever leaves it before its end. Left to the garbage collector it would wait for its threads in
    whatever thread that happens to run, which can be one that they wait for.
    """
    ahead: deque[tuple[int, Future[pl.DataFrame]]] = deque()
    with kept_connections() as keep, ThreadPoolExecutor(READERS, "source-reader", initializer=keep) as readers:
        for worker_number, slices in planned:
            ahead.append((worker_number, readers.submit(in_transaction, url, partial(_read, slices=slices))))
            if len(ahead) > READERS:
                yield ahead.popleft()
        yield from ahead


def _read(connection: psycopg.Connection, slices: list[Slice]) -> pl.DataFrame:
    connection.execute(statement("source/read_without_helpers"))
    return pl.concat([read_slice(connection, *piece) for piece in slices])


class _Staging:
    """One staging of one attempt: what is shared by the thread that expands and those that write."""

    def __init__(self, url: str, batch: Batch, shards: Shards, tell: Tell) -> None:
        self.url, self.batch, self.shards, self.tell = url, batch, shards, tell
        self.so_far: _SoFar = in_transaction(url, self._so_far)
        self.dictionary: Dictionary = in_transaction(url, lambda it: read_dictionary(it, batch.batch_id))
        self.first_numbers: dict[int, int] = {}
        self.written: dict[int, Written] = {}
        self.faults: dict[int, Exception] = {}
        self.in_memory = BoundedSemaphore(SHARDS_IN_MEMORY)
        self.one_at_a_time = Lock()
        self.started = perf_counter()
        self.records = self.records_kept = sum(records for *_, records in self.so_far.kept.values())

    def write(self, only: int | None) -> Staged:
        """Every worker that is not complete, or `only` that one."""
        missing = self.so_far.missing
        wanted = missing if only is None else [number for number in missing if number == only]
        # Those before a wanted one have to be expanded even if they are not to be written: their entries are counted.
        self._write_in_turn([number for number in missing if number <= max(wanted, default=0)], set(wanted))
        failed = sorted(self.faults)
        if failed and self._decision() is Decision.HEAL:
            for _ in range(TRIES - 1):
                self._write_once_more(sorted(self.faults))
        if self.faults:
            self._give_up()
        kept = self.so_far.kept.values()
        return Staged(
            transactions=self.records_kept + sum(one.transactions for one in self.written.values()),
            entries=sum(worker[1] for worker in kept) + sum(one.entries for one in self.written.values()),
            lines=sum(worker[2] for worker in kept) + sum(one.lines for one in self.written.values()),
            exceptions=self.so_far.exceptions + sum(one.exceptions for one in self.written.values()),
            workers=len(self.so_far.workers),
            workers_kept=len(kept),
            transactions_kept=self.records_kept,
            workers_healed=len(failed),
            workers_missing=tuple(number for number in missing if number not in self.written),
            sealing_seconds=sum(one.sealing_seconds for one in self.written.values()),
        )

    def _so_far(self, connection: psycopg.Connection) -> _SoFar:
        key = {"batch_id": self.batch.batch_id}
        workers = connection.execute(statement("control/workers_so_far"), key).fetchall()
        ((expected, exceptions),) = connection.execute(statement("control/batch_so_far"), key).fetchall()
        return _SoFar({number: (status, *counts) for number, status, *counts in workers}, expected, exceptions)

    def _write_in_turn(self, numbers: list[int], wanted: set[int]) -> None:
        next_number, before = self.batch.first_je_number, 0
        with (
            kept_connections() as keep,
            ThreadPoolExecutor(WRITERS, initializer=keep) as pool,
            closing(self.shards(numbers)) as shards,
        ):
            futures: list[Future[None]] = []
            for number, entries in shards:
                next_number += self.so_far.entries_between(before, number)
                self.first_numbers[number], before = next_number, number
                if number not in wanted:
                    next_number += entries(next_number)[0].headers.height
                    continue
                self.in_memory.acquire()
                _raise_first(futures)
                if self._decision() is Decision.PAUSE:
                    self.in_memory.release()
                    break
                started_at, expansion, records = self._expanded(number, entries)
                futures.append(pool.submit(self._write_one, number, expansion, records, started_at))
                next_number += expansion.headers.height
            wait(futures)
            _raise_first(futures)

    def _write_once_more(self, failed: list[int]) -> None:
        with closing(self.shards(failed)) as shards:
            for number, entries in shards:
                del self.faults[number]
                self.in_memory.acquire()
                started_at, expansion, records = self._expanded(number, entries)
                self._write_one(number, expansion, records, started_at)

    def _expanded(
        self, number: int, entries: Callable[[int], tuple[Expansion, int]]
    ) -> tuple[datetime, Expansion, int]:
        """A worker begins. What fails here ends the staging: the entries after it could not be numbered."""
        started_at = in_transaction(self.url, partial(_start, batch=self.batch, worker_number=number))
        try:
            return started_at, *entries(self.first_numbers[number])
        except Exception as fault:
            note_failure(self.url, self.batch, number, fault)
            raise

    def _write_one(self, number: int, expansion: Expansion, records: int, started_at: datetime) -> None:
        """In a thread of its own. A fault of the worker is noted; one that is not about the worker is raised."""
        try:
            written = write_worker(self.url, self.batch, number, expansion, records, started_at, self.dictionary)
        except Exception as fault:
            if _is_of_the_batch(fault):
                raise
            clear_frames(fault.__traceback__)  # they hold the entries
            del expansion
            self.faults[number] = fault
            return
        finally:
            self.in_memory.release()
        with self.one_at_a_time:
            self.written[number] = written
            self.records += records
            seconds = perf_counter() - self.started
            self.tell(Progress(self.records, max(self.so_far.expected, self.records), self.records_kept, seconds))
        measure_worker(self.url, self.batch.batch_id, number)

    def _decision(self) -> Decision:
        return decide(len(self.faults), len(self.so_far.workers))

    def _give_up(self) -> None:
        first = min(self.faults)
        faults = "; ".join(f"worker {number}: {told(fault)}" for number, fault in sorted(self.faults.items()))
        batch_id = self.batch.batch_id
        raise WorkersFailed(
            batch_id,
            f"{in_words(len(self.faults), len(self.so_far.workers))}: {faults}",
            f"put right what they say, then ledger-assets close {self.batch.period}, which does what is missing, "
            f"or ledger-assets restart-worker {batch_id} {first}",
        ) from self.faults[first]


def _is_of_the_batch(fault: Exception) -> bool:
    """Whether the fault says nothing of the worker: the batch was replaced or aborted, the server is away."""
    return was_cut_off(fault) or getattr(fault, "sqlstate", None) in (WRONG_STATE, OVERTAKEN, _ENDED)


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
    worker = {"batch_id": batch.batch_id, "attempt": batch.attempt, "worker_number": worker_number}
    row = connection.execute(statement("control/start_worker"), worker).fetchone()
    if row is None or row[0] is None:
        connection.execute(statement("staging/require_attempt"), {"batch_id": batch.batch_id, "attempt": batch.attempt})
        raise Overtaken(
            f"worker {worker_number} of {batch.batch_id}",
            "it is gone: another run has staged the batch anew",
            f"nothing here: ledger-assets status {batch.period} shows what became of it",
        )
    started_at: datetime = row[0]
    return started_at


def _raise_first(futures: Iterable[Future[None]]) -> None:
    for future in futures:
        if future.done():
            future.result()
