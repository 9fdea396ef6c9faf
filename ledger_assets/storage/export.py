"""A closed month out of PostgreSQL, as plain-text accounting (E8)."""

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import psycopg
from psycopg.rows import class_row

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.plain_text import FORMATS, Balance, Entry
from ledger_assets.storage.archives import refuse_archived
from ledger_assets.storage.audit import record
from ledger_assets.storage.database import statement


class NotClosedError(LedgerError):
    """The month has no balances that an export could assert."""


def export(
    connection: psycopg.Connection, period: str, file: Path, *, notation: str, performed_by: str | None = None
) -> int:
    """Write a closed month to a file; returns the number of entries. Streams: no month is too long for memory.

    The file is there completely or not at all, and not before the audit trail says that `performed_by` (None: the
    database's user) made it. Raises NotClosedError when the month has no balances, Archived when its entries are.
    """
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")  # entries and balances of one moment
    with connection.cursor(row_factory=class_row(Balance)) as cursor:
        balances = cursor.execute(statement("export/balances"), {"period": period}).fetchall()
    if not balances:
        raise NotClosedError(period, "it has no balances", f"close it first: ledger-assets close {period}")
    refuse_archived(connection, period, f"the export of {period}")
    currency = connection.execute(statement("source/book_currency")).fetchone()
    written = 0

    def counted() -> Iterator[Entry]:
        nonlocal written
        for entry in _entries(connection, period):
            written += 1
            yield entry

    unfinished = file.with_name(f"{file.name}.part")
    with unfinished.open("w", encoding="utf-8") as output:
        output.writelines(FORMATS[notation](period, currency[0] if currency else "XXX", balances, counted()))
    connection.commit()  # the trail may have grown since that moment
    who = performed_by or connection.info.user
    record(connection, "EXPORT", performed_by=who, period=period, format=notation, entries=written)
    connection.commit()
    unfinished.replace(file)
    return written


def _entries(connection: psycopg.Connection, period: str) -> Iterator[Entry]:
    with connection.cursor("export") as cursor:
        cursor.itersize = 50_000
        cursor.execute(statement("export/entries"), {"period": period})
        for (number, day, description, source_id, original), lines in groupby(cursor, key=itemgetter(0, 1, 2, 3, 6)):
            postings = tuple((code, amount) for *_, code, amount, _ in lines)
            yield Entry(number, day, description, source_id, postings, original)
