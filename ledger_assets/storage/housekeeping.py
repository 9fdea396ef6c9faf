"""What keeps the database in order without touching the books (B7): partitions made ahead, statistics kept fresh, and
months that are due taken to files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import psycopg

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.storage.archives import ACTIVE_MONTHS, Layer, due
from ledger_assets.storage.audit import attempting
from ledger_assets.storage.database import connect, in_transaction, statement
from ledger_assets.storage.reading import rows

if TYPE_CHECKING:
    from ledger_assets.storage.archiving import ArchivedMonth, Place

AHEAD: Final = 3
"""Months after the open one whose partitions are made ahead."""


@dataclass(frozen=True)
class Rotation:
    """What was made (or would be), and which months were left to somebody who had them locked just then."""

    partitions: Sequence[str]
    left: Sequence[str] = ()
    dry_run: bool = False


def rotate(url: str, *, ahead: int = AHEAD, performed_by: str, dry_run: bool = False) -> Rotation:
    """Make the month partitions of source and ledger for the open month and `ahead` months after it.

    Safe to repeat, to kill, and beside a running close: a transaction of some milliseconds for each month, which waits
    for nobody longer than a second and keeps nobody waiting who reads or writes rows.
    """
    missing = in_transaction(url, lambda connection: rows(connection, "housekeeping/missing_partitions", ahead=ahead))
    if dry_run:
        return Rotation([row["partition"] for row in missing], dry_run=True)
    made: list[str] = []
    left: list[str] = []
    for period in sorted({row["period"] for row in missing}):
        parameters = {"period": period, "performed_by": performed_by}
        try:
            with attempting(url, "ROTATE_PARTITIONS", performed_by=performed_by, period=period):
                made += in_transaction(url, partial(_make, parameters=parameters))
        except psycopg.errors.LockNotAvailable:
            left.append(period)
    return Rotation(made, left)


def _make(connection: psycopg.Connection, parameters: Mapping[str, Any]) -> list[str]:
    return [name for (name,) in connection.execute(statement("housekeeping/make_partitions"), parameters).fetchall()]


def refresh_statistics(url: str) -> int:
    """Statistics of the small tables anew, and of every posted leaf that has none; returns for how many workers.

    Leaves never change, so theirs need not be made again. One transaction for each worker; it locks out nobody.
    """
    in_transaction(url, lambda connection: connection.execute(statement("queries/refresh_statistics")))
    workers = in_transaction(url, lambda connection: rows(connection, "housekeeping/unprepared_workers"))
    for worker in workers:
        in_transaction(url, partial(_prepare, worker=worker))
    return len(workers)


def _prepare(connection: psycopg.Connection, worker: Mapping[str, Any]) -> None:
    connection.execute(statement("queries/prepare_for_readers"), worker)


@dataclass
class ArchivedMonths:
    """What became of the months that were due; `problems` of those that could not go."""

    months: "list[ArchivedMonth]" = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def archive_due(
    place: "Place",
    layers: Sequence[Layer],
    *,
    performed_by: str,
    dry_run: bool = False,
    active_months: Mapping[Layer, int] = ACTIVE_MONTHS,
) -> ArchivedMonths:
    """Archive everything that is no longer active, oldest month first; one that cannot go does not stop the others."""
    from ledger_assets.storage.archiving import archive_month  # noqa: PLC0415 (Polars takes its time)

    archive = partial(archive_month, place, performed_by=performed_by, dry_run=dry_run)
    done = ArchivedMonths()
    for layer in layers:
        with connect(place.url) as connection:
            periods = due(connection, layer, active_months[layer])
        for period in periods:
            try:
                done.months.append(archive(period, layer, active_months=active_months[layer]))
            except LedgerError as fault:
                done.problems.append(str(fault))
    return done


def archive_named(
    place: "Place",
    period: str,
    layers: Sequence[Layer],
    *,
    performed_by: str,
    active_months: Mapping[Layer, int] = ACTIVE_MONTHS,
    dry_run: bool = False,
) -> ArchivedMonths:
    """Archive the layers of a month: one that cannot go does not hold up the other, nor does one that has gone already.

    So the command that was killed between the two is simply typed again. Raises what `archive_month` raises when
    nothing goes.
    """
    from ledger_assets.storage.archiving import NothingToArchive, archive_month  # noqa: PLC0415 (likewise)

    archive = partial(archive_month, place, performed_by=performed_by, dry_run=dry_run)
    done, faults = ArchivedMonths(), []
    for layer in layers:
        try:
            done.months.append(archive(period, layer, active_months=active_months[layer]))
        except LedgerError as fault:
            faults.append(fault)
    if not done.months:
        raise next((fault for fault in faults if not isinstance(fault, NothingToArchive)), faults[0])
    done.problems += [str(fault) for fault in faults if not isinstance(fault, NothingToArchive)]
    return done
