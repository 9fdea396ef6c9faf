"""Loads: a file into the source of a month in one transaction, and out again (B1).

Here: what a load consists of, in which order it is written, what makes it a repetition. Not here: reading the file
(source_files), judging its rows (accounting.schemas), the tables behind it (the functions of the schema source).

Everything happens in one transaction behind one lock per period. A process killed at any instant leaves nothing; two
that load the same file do it once.
"""

import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import polars as pl
import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from ledger_assets.accounting.counting import counted
from ledger_assets.accounting.errors import quoted
from ledger_assets.accounting.masking import masked_text
from ledger_assets.accounting.months import first_day
from ledger_assets.accounting.schemas import DUPLICATE, Judgement, judge, refuse
from ledger_assets.accounting.source_errors import LoadRefusedError, SourceFileError
from ledger_assets.accounting.source_mapping import Mapped, SourceMapping
from ledger_assets.storage.audit import attempting
from ledger_assets.storage.batches import explained
from ledger_assets.storage.binary_copy import copy_frame
from ledger_assets.storage.database import statement
from ledger_assets.storage.source_files import read, sha256_of

_T = TypeVar("_T")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_INCOMING: Final = sql.Identifier("pg_temp", "incoming")


@dataclass(frozen=True)
class LoadResult:
    """What became of a file.

    Attributes:
        load_id: the load that holds it.
        period: the month, `YYYY-MM`.
        file_name: without its directory.
        row_count: rows in the file = accepted + rejected + skipped + unchanged.
        accepted_count: rows stored in `source.txn_source`.
        rejected_count: rows in `source.rejected_row`.
        skipped_count: rows that the mapping left out.
        unchanged_count: rows that an earlier load of the month holds with the same content.
        checksum: of the stored rows, as a whole number in digits.
        reasons: rejected rows per reason; a row may have several.
        booked_in: the month that the transactions are booked in, or will be as things stand: `period`, or the open
            month when `period` is closed.
        already_loaded: the load was there before, and nothing was changed.
    """

    load_id: int
    period: str
    file_name: str
    row_count: int
    accepted_count: int
    rejected_count: int
    skipped_count: int
    unchanged_count: int
    checksum: str
    reasons: Mapping[str, int]
    booked_in: str
    already_loaded: bool

    def __str__(self) -> str:
        name = masked_text(self.file_name)
        if self.already_loaded:
            return f"{name} is loaded already: load {self.load_id} of {self.period}; nothing was changed"
        counts = {
            "accepted": self.accepted_count, "rejected": self.rejected_count, "skipped": self.skipped_count,
            "unchanged": self.unchanged_count,
        }  # fmt: skip
        shown = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count or name == "accepted")
        why = "".join(f"\n  {reason}: {count:,}" for reason, count in sorted(self.reasons.items()))
        late = f"\n  {self.period} is closed: booked in {self.booked_in} when that is closed" if self.is_late else ""
        return f"{name}: {counted(self.row_count, 'row')}, {shown} (load {self.load_id} of {self.period}){why}{late}"

    @property
    def is_late(self) -> bool:
        """Whether the transactions came too late for their own month."""
        return self.booked_in != self.period


@dataclass
class _Loading:
    """A load that is being written."""

    connection: psycopg.Connection
    period: str
    load_id: int
    has_earlier: bool
    leaf: sql.Identifier | None = None  # made for the first accepted row
    row_count: int = 0
    skipped_count: int = 0
    accepted_count: int = 0
    unchanged: Counter[int] = field(default_factory=Counter)  # rows by the earlier load that holds them


class _Batch(NamedTuple):
    mapped: Mapped
    judgement: Judgement


def ingest(
    connection: psycopg.Connection,
    path: Path,
    *,
    period: str,
    mapping: SourceMapping,
    currency: str | None,
    loaded_by: str,
    progress: Callable[[int], None] = lambda _: None,
) -> LoadResult:
    """Load a file into the source of a month. Loading it again changes nothing.

    Args:
        connection: its transaction is used if one is open, else one is made.
        path: a CSV or Parquet file, see `source_files.read`.
        period: the month, `YYYY-MM`; it is that of bank_value_date.
        mapping: what the columns of the file are; part of what makes two loads the same.
        currency: the currency of the books. None: the one they have, and for the first load that of the file.
        loaded_by: the person or program that answers for it.
        progress: is told the rows of each batch when they are written.

    Raises:
        PeriodError: the period is no month.
        SourceFileError: the file cannot be read, or changed meanwhile. Nothing was loaded.
        LoadRefusedError: another currency than that of the books, or none at all; or the transactions of the month are
            archived, and rows could not be compared with them. Nothing was loaded.
    """
    attempt = attempting(connection, "LOAD", performed_by=loaded_by, period=period, file_name=path.name)
    with attempt:
        return _ingest(connection, path, period, mapping, currency, loaded_by, progress)


def _ingest(
    connection: psycopg.Connection,
    path: Path,
    period: str,
    mapping: SourceMapping,
    currency: str | None,
    loaded_by: str,
    progress: Callable[[int], None],
) -> LoadResult:
    first_day(period)
    _demand_currency(currency)
    before = _state_of(path)
    identity = {"period": period, "file_sha256": sha256_of(path), "mapping_sha256": mapping.sha256}
    with connection.transaction():
        connection.execute(statement("source/lock_period"), identity)
        if existing := connection.execute(statement("source/find_load"), identity).fetchone():
            return _result(connection, existing[0], already_loaded=True)
        batches = read(path, mapping, period)
        leading = _up_to_first_rows(batches)
        book_currency, is_inferred = _book_currency(connection, currency, leading[-1], loaded_by)
        loading = _open(connection, identity | {"file_name": path.name, "loaded_by": loaded_by}, period)
        judged = _judged(chain(leading, batches), period, book_currency, must_be_uniform=is_inferred)
        # Closed here, whatever happens: the garbage collector might do it in a thread that the reader's waits for.
        with closing(_one_ahead(judged)) as ready:
            for batch in ready:
                _write(loading, batch)
                progress(batch.mapped.frame.height + batch.mapped.skipped)
        if _state_of(path) != before:
            raise SourceFileError(str(path), "it changed while it was read", "load it when its writer has finished")
        _close(loading, loaded_by)
        return _result(connection, loading.load_id, already_loaded=False)


def withdraw(connection: psycopg.Connection, load_id: int, *, reason: str, by: str) -> None:
    """Take a load out again: its rows go, its record stays as WITHDRAWN, its rejections are closed.

    Rejections of earlier loads that it resolved are open again. Waits for everybody who reads the rows.

    Raises:
        LoadRefusedError: there is no such load, it is withdrawn already, a posted batch holds it, or a later load left
            rows out because this one has them. Nothing was changed.
    """
    attempt = attempting(connection, "WITHDRAW", performed_by=by, load_id=load_id, reason=reason)
    with attempt, explained(wrong_state=LoadRefusedError), connection.transaction():
        connection.execute(statement("source/withdraw_load"), {"load_id": load_id, "reason": reason, "by": by})


def acknowledge_rejections(connection: psycopg.Connection, period: str, *, reason: str, by: str) -> int:
    """Declare the open rejections of a month looked at and left out for good; returns how many there were."""
    attempt = attempting(connection, "ACKNOWLEDGE", performed_by=by, period=period, reason=reason)
    with attempt, connection.transaction():
        (count,) = connection.execute(
            statement("source/acknowledge_rejections"), {"period": period, "reason": reason, "by": by}
        ).fetchone() or (0,)
    return int(count)


def _state_of(path: Path) -> tuple[int, int, int] | None:
    """What changes with a file's content; None for a file that is not there, of which the reader has more to say."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_size, state.st_mtime_ns


def _up_to_first_rows(batches: Iterator[Mapped]) -> list[Mapped]:
    """The batches of which every row was skipped, and the first one with rows, if there is one."""
    leading = []
    for mapped in batches:
        leading.append(mapped)
        if mapped.frame.height:
            break
    return leading


def _book_currency(
    connection: psycopg.Connection, wanted: str | None, sample: Mapped, loaded_by: str
) -> tuple[str, bool]:
    """The currency of the books, and whether it was taken from this file, which then may hold no other."""
    present = connection.execute(statement("source/book_currency")).fetchone()
    if wanted is None and present is not None:
        return str(present[0]), False
    currency = wanted or _only_currency(sample.frame["currency"])
    connection.execute(statement("source/set_book_currency"), {"currency": currency, "set_by": loaded_by})
    # Read again: another first load may have been faster.
    (found,) = connection.execute(statement("source/book_currency")).fetchone() or (currency,)
    if found != currency:
        fix = f"unset LEDGER_CURRENCY or set it to {found}; another currency needs a ledger of its own"
        raise LoadRefusedError(f"currency {currency}", f"the books are kept in {found}", fix)
    return currency, wanted is None


def _demand_currency(currency: str | None) -> None:
    if currency is not None and not _CURRENCY.fullmatch(currency):
        fix = "write the three capital letters of ISO 4217, for example IDR"
        raise LoadRefusedError(f"currency {quoted(currency)}", "it is no currency", fix)


def _only_currency(currencies: pl.Series) -> str:
    found = currencies.drop_nulls().unique().sort().to_list()
    codes = [code for code in found if _CURRENCY.fullmatch(code)]
    if len(found) != 1 or not codes:
        others = ["others that are none"] if len(codes) < len(found) else []  # not quoted: anything may stand there
        raise LoadRefusedError(
            f"the file's currencies ({', '.join([*codes[:5], *others]) or 'none'})",
            "the first load says in which currency the books are kept, and needs exactly one, such as IDR",
            "set LEDGER_CURRENCY; rows in another one are then rejected",
        )
    return str(found[0])


def _judged(batches: Iterator[Mapped], period: str, currency: str, *, must_be_uniform: bool) -> Iterator[_Batch]:
    for mapped in batches:
        if must_be_uniform and mapped.frame["currency"].drop_nulls().ne(currency).any():
            _only_currency(mapped.frame["currency"].extend_constant(currency, 1))
        yield _Batch(mapped, judge(mapped.frame, period=period, currency=currency, raw=mapped.raw))


def _one_ahead(items: Iterator[_T]) -> Generator[_T]:
    """The same items, the next one made in a thread while the present one is in use.

    Polars and the database each keep one core busy: reading and judging is over when the COPY of the batch before is.
    """
    with ThreadPoolExecutor(1, "source-reader") as thread:
        present = thread.submit(next, items, None)
        while (item := present.result()) is not None:
            present = thread.submit(next, items, None)
            yield item


def _open(connection: psycopg.Connection, record: dict[str, Any], period: str) -> _Loading:
    (has_earlier,) = connection.execute(statement("source/has_earlier_leaves"), record).fetchone() or (False,)
    if has_earlier:
        connection.execute(statement("source/create_incoming"))
    with explained(
        wrong_state=LoadRefusedError
    ):  # a month whose transactions are archived: there is nothing to compare with
        (load_id,) = connection.execute(statement("source/open_load"), record).fetchone() or (0,)
    return _Loading(connection, period, load_id, has_earlier)


def _write(loading: _Loading, batch: _Batch) -> None:
    """Store the accepted rows of a batch that are new, and the rejected ones."""
    accepted, rejected = batch.judgement
    if loading.has_earlier and accepted.height:
        accepted, repeated = _without_earlier(loading, accepted, batch.mapped)
        rejected = pl.concat([rejected, repeated])
    if accepted.height:
        with loading.connection.cursor() as cursor:
            loading.leaf = loading.leaf or _create_leaf(cursor, loading.load_id)
            copy_frame(cursor, loading.leaf, accepted, freeze=True)  # period and load are the leaf's defaults
    if rejected.height:
        with loading.connection.cursor().copy(statement("source/copy_rejected")) as copy:
            for row in rejected.iter_rows():
                copy.write_row((loading.load_id, *row))
    loading.accepted_count += accepted.height
    loading.row_count += batch.mapped.frame.height + batch.mapped.skipped
    loading.skipped_count += batch.mapped.skipped


def _without_earlier(loading: _Loading, accepted: pl.DataFrame, mapped: Mapped) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The accepted rows whose ids are new to the month; and those rejected because their id means something else.

    Rows that an earlier load holds with the same content are counted as unchanged.
    """
    with loading.connection.cursor() as cursor:
        cursor.execute("TRUNCATE pg_temp.incoming")
        copy_frame(cursor, _INCOMING, accepted)
        cursor.execute(statement("source/compare_incoming"), {"period": loading.period})
        found = pl.DataFrame(
            cursor.fetchall(),
            schema={"row_number": pl.Int32, "earlier_load_id": pl.Int32, "is_unchanged": pl.Boolean},
            orient="row",
        )
    loading.unchanged.update(found.filter("is_unchanged")["earlier_load_id"].to_list())
    is_other = mapped.frame["row_number"].is_in(found.filter(~pl.col("is_unchanged"))["row_number"].implode())
    repeated = refuse(mapped.frame.filter(is_other), mapped.raw.filter(is_other), DUPLICATE)
    return accepted.filter(~pl.col("row_number").is_in(found["row_number"].implode())), repeated


def _create_leaf(cursor: psycopg.Cursor, load_id: int) -> sql.Identifier:
    (name,) = cursor.execute(statement("source/create_leaf"), {"load_id": load_id}).fetchone() or ("",)
    return sql.Identifier(*name.split("."))


def _close(loading: _Loading, loaded_by: str) -> None:
    """Index and attach what was stored, and write down what PostgreSQL itself finds in it."""
    counts = {
        "load_id": loading.load_id,
        "row_count": loading.row_count,
        "skipped_count": loading.skipped_count,
        "unchanged": Jsonb(loading.unchanged),
        "loaded_by": loaded_by,
    }
    loading.connection.execute(statement("source/finish_load"), counts)


def _result(connection: psycopg.Connection, load_id: int, *, already_loaded: bool) -> LoadResult:
    with connection.cursor(row_factory=dict_row) as cursor:
        record = cursor.execute(statement("source/read_load"), {"load_id": load_id}).fetchone()
    return LoadResult(**(record or {}), already_loaded=already_loaded)
