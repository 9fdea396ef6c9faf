"""A closed month out of PostgreSQL, as plain-text accounting (E8)."""

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import psycopg
from psycopg.rows import class_row

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.plain_text import FORMATS, Balance, Entry
from ledger_assets.storage.archives import is_archived
from ledger_assets.storage.audit import record
from ledger_assets.storage.database import statement


class NotClosedError(LedgerError):
    """The month has no balances that an export could assert."""


class MonthChanged(LedgerError):  # noqa: N818 - what happened
    """The month's tables went into files, or came back, while they were read."""


def export(
    connection: psycopg.Connection,
    period: str,
    file: Path,
    *,
    notation: str,
    performed_by: str | None = None,
    archive: Path | None = None,
) -> int:
    """Write a closed month to a file; returns the number of entries. Streams: no month is too long for memory.

    The file is there completely or not at all, and not before the audit trail says that `performed_by` (None: the
    database's user) made it. The entries of an archived month are read from its files below `archive`, and proven.

    Raises NotClosedError when the month has no balances, ArchiveMissing and ArchiveAltered when a file does not prove,
    and MonthChanged when not all posted entries were there to read.
    """
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")  # entries and balances of one moment
    with connection.cursor(row_factory=class_row(Balance)) as cursor:
        balances = cursor.execute(statement("export/balances"), {"period": period}).fetchall()
    if not balances:
        raise NotClosedError(period, "it has no balances", f"close it first: ledger-assets close {period}")
    archived = is_archived(connection, period)
    currency = connection.execute(statement("source/book_currency")).fetchone()
    (posted,) = connection.execute(statement("export/posted_entries"), {"period": period}).fetchone() or (0,)
    written = 0

    def counted() -> Iterator[Entry]:
        nonlocal written
        for entry in _archived(connection, archive, period) if archived else _entries(connection, period):
            written += 1
            yield entry

    unfinished = file.with_name(f"{file.name}.part")
    try:
        with unfinished.open("w", encoding="utf-8") as output:
            output.writelines(FORMATS[notation](period, currency[0] if currency else "XXX", balances, counted()))
        _require_all(period, written, posted)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    connection.commit()  # the trail may have grown since that moment
    who = performed_by or connection.info.user
    record(connection, "EXPORT", performed_by=who, period=period, format=notation, entries=written)
    connection.commit()
    unfinished.replace(file)
    return written


def _require_all(period: str, written: int, posted: int) -> None:
    """A table that went into files is not there any more, whatever state of the database a transaction sees."""
    if written != posted:
        problem = f"{written:,} of its {posted:,} posted entries were there to read"
        raise MonthChanged(period, problem, "it was being archived or restored meanwhile: export it again")


def _archived(connection: psycopg.Connection, root: Path | None, period: str) -> Iterator[Entry]:
    from ledger_assets.storage.archived_entries import Archive  # noqa: PLC0415 (Polars takes its time)

    return Archive(connection, root).posted(period)


def _entries(connection: psycopg.Connection, period: str) -> Iterator[Entry]:
    with connection.cursor("export") as cursor:
        cursor.itersize = 50_000
        cursor.execute(statement("export/entries"), {"period": period})
        for (number, day, description, source_id, original), lines in groupby(cursor, key=itemgetter(0, 1, 2, 3, 6)):
            postings = tuple((code, amount) for *_, code, amount, _ in lines)
            yield Entry(number, day, description, source_id, postings, original)
