"""Months that leave the database for files, and come back (B7, docs/adr/0020).

A month is written to files, the files are proven, and only then its tables are dropped, in one transaction that
records the files. Killed at any instruction, either the tables are there or a proven archive is recorded.

Entries are proven against their seals, from the files alone. Transactions have no seals: their file is put into a
table again, in the transaction that drops the first one, and PostgreSQL measures there what it measured when they were
loaded.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from ledger_assets.accounting.verification import PROVEN, Report
from ledger_assets.storage import books
from ledger_assets.storage.archive_files import (
    ArchiveError,
    File,
    finish,
    read_manifest,
    unfinished_directory,
    write_manifest,
    write_rows,
)
from ledger_assets.storage.archived_rows import (
    AMOUNTS,
    HEADERS,
    LINES,
    TRANSACTIONS,
    Stored,
    read_strictly,
    standing,
    stored,
    workers_of,
)
from ledger_assets.storage.archives import Archived, Layer
from ledger_assets.storage.audit import attempting
from ledger_assets.storage.batches import BatchStateError, explained
from ledger_assets.storage.binary_copy import copy_frame
from ledger_assets.storage.corrections import BooksInUse
from ledger_assets.storage.database import connect, in_transaction, statement
from ledger_assets.storage.reading import records
from ledger_assets.storage.sealed_rows import leaf_name, read_rows
from ledger_assets.storage.slices import read_slice
from ledger_assets.storage.verification import snapshot, verify


class NothingToArchive(BatchStateError):  # noqa: N818 - what it is
    """The layer of the month has gone already, or never had a row that may go."""


class Place(NamedTuple):
    """Where archives are made, and with whose rights.

    Attributes:
        url: the ledger, with the engine's rights: it may read leaves.
        administrator: the same, with those of batch_admin: he may drop and restore them.
        root: the directory of all archives.
    """

    url: str
    administrator: str
    root: Path


@dataclass(frozen=True)
class ArchivedMonth:
    """What was archived, or would be; `directory` is below the root, empty for a dry run."""

    period: str
    layer: Layer
    directory: str
    files: int
    rows: int
    bytes: int
    dry_run: bool = False


@dataclass(frozen=True)
class RestoredMonth:
    """What came back."""

    period: str
    layer: str
    directory: str
    files: int
    rows: int


# ------------------------------------------------------------------------------------------------ archive


def archive_month(
    place: Place, period: str, layer: Layer, *, active_months: int, performed_by: str, dry_run: bool = False
) -> ArchivedMonth:
    """Write a layer of a month to files, prove them, and drop what they hold.

    Args:
        active_months: so many of the newest closed months stay; 0 = the month need not have aged.
        dry_run: only say what would go; nothing is written.

    Raises BatchStateError (not closed, still active, not certified …), ArchiveError (the files could not be written or
    do not prove, or something else lies in their place), BooksInUse. The tables are there then.
    """
    about = {"period": period, "layer": layer, "active_months": active_months}
    if dry_run:
        return _planned(place, period, layer, active_months)
    attempt = attempting(
        place.administrator, f"ARCHIVE_{layer}", performed_by=performed_by, period=period, root=str(place.root)
    )
    with attempt, _alone(place.administrator, period, layer) as connection:
        _require_no_obstacle(connection, about)
        directory = place.root / period / f"{layer.lower()}-{_number(connection, period, layer)}"
        if directory.exists():  # a try that ended between its files and its record; what it wrote is proven anew
            files, manifest = read_manifest(directory)
            _PROVE[layer](place, period, directory, files)
        else:
            with unfinished_directory(place.root, period, layer) as unfinished:
                files, manifest = _EXPORT[layer](place, period, unfinished, active_months)
                _PROVE[layer](place, period, unfinished, files)
                finish(unfinished, directory)
        _take(place, layer, directory, files, about | {"manifest_sha256": manifest, "performed_by": performed_by})
    return _summary(period, layer, directory.name, files)


def _planned(place: Place, period: str, layer: Layer, active_months: int) -> ArchivedMonth:
    with connect(place.url) as connection:
        _require_no_obstacle(connection, {"period": period, "layer": layer, "active_months": active_months})
        if layer == "LEDGER":
            found = records(connection, "archive/workers", period=period)
            files, count = 2 * len(found), sum(row["entry_count"] + row["line_count"] for row in found)
        else:
            found = records(connection, "archive/loads", period=period, active_months=active_months)
            files, count = len(found), sum(row["accepted_count"] for row in found)
    return ArchivedMonth(period, layer, "", files, count, 0, dry_run=True)


def _summary(period: str, layer: Layer, name: str, files: Sequence[File]) -> ArchivedMonth:
    size, count = sum(file.byte_count for file in files), sum(file.row_count for file in files)
    return ArchivedMonth(period, layer, f"{period}/{name}", len(files), count, size)


@contextmanager
def _alone(url: str, period: str, layer: Layer) -> Iterator[psycopg.Connection]:
    """A session that nobody else archives or restores this beside. Raises BooksInUse."""
    with closing(connect(url, autocommit=True, application_name="ledger-assets archive")) as connection:
        (row,) = connection.execute(statement("archive/lock"), {"period": period, "layer": layer}).fetchall()
        if not row[0]:
            raise BooksInUse(period, "somebody is archiving or restoring it just now", "wait for him")
        yield connection


def _require_no_obstacle(connection: psycopg.Connection, about: dict[str, Any]) -> None:
    for obstacle in records(connection, "archive/obstacles", **about):
        culprit, _, rule = obstacle["problem"].partition(": ")
        kind = NothingToArchive if obstacle["rule"] in ("not_archived", "something_to_archive") else BatchStateError
        raise kind(culprit, rule, obstacle["fix"])


def _number(connection: psycopg.Connection, period: str, layer: Layer) -> int:
    ((number,),) = connection.execute(statement("archive/next_number"), {"period": period, "layer": layer}).fetchall()
    return int(number)


def _take(place: Place, layer: Layer, directory: Path, files: Sequence[File], about: dict[str, Any]) -> None:
    """Record the files and drop the tables, in one transaction."""
    name = f"{directory.parent.name}/{directory.name}"
    parameters = about | {"directory": name, "files": Jsonb([asdict(file) for file in files])}

    def work(connection: psycopg.Connection) -> None:
        if records(connection, "archive/recorded", directory=name):
            return  # by a try whose confirmation got lost
        if layer == "SOURCE":
            for file in files:
                leaf = {"load_id": file.load_id, "to_stay": False}
                _fill(connection, "archive/create_archived_leaf", leaf, file.stored(directory))
        connection.execute(statement("archive/take_ledger" if layer == "LEDGER" else "archive/take_source"), parameters)

    with _explained(about["period"]):
        in_transaction(place.administrator, work)


@contextmanager
def _explained(period: str) -> Iterator[None]:
    try:
        with explained():
            yield
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as fault:
        raise BooksInUse(period, "somebody has been reading or writing this month for too long", "try again") from fault


# ------------------------------------------------------------------------------------------------ what is written


def _export_entries(place: Place, period: str, directory: Path, _: int) -> tuple[list[File], str]:
    with connect(place.url, application_name="ledger-assets archive") as connection:
        snapshot(connection)
        files = [
            file
            for worker in records(connection, "archive/workers", period=period)
            for file in _worker_files(connection, period, directory, worker)
        ]
        about = {
            "seals": records(connection, "archive/seals", period=period),
            "accounts": records(connection, "seal/chart"),
            "templates": records(connection, "seal/templates"),
        }
    return files, write_manifest(directory, period, "LEDGER", files, about)


def _worker_files(
    connection: psycopg.Connection, period: str, directory: Path, worker: dict[str, Any]
) -> Iterator[File]:
    of = {"batch_id": worker["batch_id"], "worker_number": worker["worker_number"]}
    name = f"{worker['batch_id']}.worker-{worker['worker_number']:03}"
    headers, lines = (leaf_name(connection, worker[leaf]) for leaf in ("header_leaf", "line_leaf"))
    if headers is None or lines is None:
        raise ArchiveError(name, "its table is gone", "run ledger-assets verify")
    found, strays = read_rows(connection, headers, lines, period)
    if strays:
        raise ArchiveError(
            name, f"{strays} of its rows do not say that they are of {period}", "run ledger-assets verify"
        )
    days = [pl.col(column).cast(pl.Date) for column in ("je_date", "original_date")]
    yield write_rows(directory, name, "headers", found.headers.with_columns(days).select(HEADERS.names()), **of)
    yield write_rows(directory, name, "lines", found.lines.select(LINES.names()), **of)


def _export_transactions(place: Place, period: str, directory: Path, active_months: int) -> tuple[list[File], str]:
    files = []
    with connect(place.url, application_name="ledger-assets archive") as connection:
        snapshot(connection)
        loads = records(connection, "archive/loads", period=period, active_months=active_months)
        for load in loads:
            frame = read_slice(connection, period, load["load_id"], 1, load["row_count"])
            major = [
                (pl.col(name).cast(pl.Decimal(38, 2)) * pl.lit("0.01").cast(pl.Decimal(38, 2))).alias(name)
                for name in AMOUNTS
            ]
            written = frame.with_columns(major).select(TRANSACTIONS.names()).cast(TRANSACTIONS)
            files.append(
                write_rows(directory, f"load-{load['load_id']}", "transactions", written, load_id=load["load_id"])
            )
    return files, write_manifest(directory, period, "SOURCE", files, {"loads": loads})


def _prove_entries(place: Place, period: str, directory: Path, files: Sequence[File]) -> None:
    """The seals, the chain and the balances of the month, computed from the files alone. Raises ArchiveError."""
    instead = workers_of([asdict(file) | {"path": directory / file.file_name} for file in files])
    report = verify(place.url, period, archive=place.root, instead=instead)
    if report.verdict != PROVEN:
        first = next(iter([*report.differences, *report.not_looked_at]))
        raise ArchiveError(
            str(directory), f"its files are not proven: {first}", "nothing was dropped; run ledger-assets verify"
        )


def _prove_transactions(place: Place, period: str, directory: Path, files: Sequence[File]) -> None:
    """They are read and measured by the transaction that drops them."""


_Export = Callable[[Place, str, Path, int], tuple[list[File], str]]
_EXPORT: Final[dict[Layer, _Export]] = {"LEDGER": _export_entries, "SOURCE": _export_transactions}
_PROVE: Final = {"LEDGER": _prove_entries, "SOURCE": _prove_transactions}


# ------------------------------------------------------------------------------------------------ restore


def restore_month(
    place: Place, period: str, layers: Sequence[Layer], *, performed_by: str
) -> tuple[list[RestoredMonth], Report | None]:
    """Bring a month back from its files, and prove it; the report is of the entries, if they came back.

    The files stay where they are. Raises Archived (there is nothing to restore), ArchiveError (the files do not prove),
    ArchiveMissing, ArchiveAltered, GateFailed; nothing of a layer was restored then.
    """
    restored = []
    attempt = attempting(place.administrator, "RESTORE", performed_by=performed_by, period=period, root=str(place.root))
    with attempt:
        for layer in layers:
            with _alone(place.administrator, period, layer) as connection:
                found = [row for row in standing(connection, place.root, period) if row["layer"] == layer]
                if layer == "LEDGER" and found:
                    _require_proven(verify(place.url, period, archive=place.root), period)
                restored += _restore(place, found, performed_by)
        if not restored:
            raise Archived(period, "nothing of it is archived", "ledger-assets archives lists what is")
        if not any(one.layer == "LEDGER" for one in restored):
            return restored, None
        books.prepare_for_readers(place.url, period)
        report = verify(place.url, period, archive=place.root)
        _require_proven(report, period)
    return restored, report


def _require_proven(report: Report, period: str) -> None:
    if report.verdict != PROVEN:
        first = next(iter([*report.differences, *report.not_looked_at]))
        raise ArchiveError(period, f"it is not proven: {first}", "run ledger-assets verify, which names everything")


def _restore(place: Place, found: Sequence[dict[str, Any]], performed_by: str) -> list[RestoredMonth]:
    restored = []
    for archive_id in sorted({row["archive_id"] for row in found}):
        files = [row for row in found if row["archive_id"] == archive_id]
        with _explained(files[0]["period"]):
            in_transaction(place.administrator, _restoring(archive_id, files, performed_by))
        count = sum(row["row_count"] for row in files)
        restored.append(RestoredMonth(files[0]["period"], files[0]["layer"], files[0]["directory"], len(files), count))
    return restored


def _restoring(
    archive_id: int, files: Sequence[dict[str, Any]], performed_by: str
) -> Callable[[psycopg.Connection], None]:
    def work(connection: psycopg.Connection) -> None:
        if archive_id not in {row["archive_id"] for row in standing(connection, None)}:
            return  # restored by a try whose confirmation got lost
        connection.execute(statement("archive/begin_restore"), {"archive_id": archive_id})
        for (batch_id, number), worker in sorted(workers_of(files).items()):
            leaves = {"archive_id": archive_id, "batch_id": batch_id, "worker_number": number}
            ((headers, lines),) = connection.execute(statement("archive/create_restored_leaves"), leaves).fetchall()
            _copy(connection, headers, worker.headers)
            _copy(connection, lines, worker.lines)
            connection.execute(statement("archive/finish_restored_leaves"), leaves)
        for row in files:
            if row["load_id"] is not None:
                load = {"load_id": row["load_id"], "archive_id": archive_id}
                _fill(connection, "archive/create_archived_leaf", load | {"to_stay": True}, stored(row))
                connection.execute(statement("archive/finish_archived_leaf"), load)
        end = {"archive_id": archive_id, "performed_by": performed_by}
        connection.execute(statement("archive/end_restore"), end)

    return work


def _fill(connection: psycopg.Connection, name: str, parameters: dict[str, Any], file: Stored) -> None:
    """Make a table and put the rows of a file into it."""
    ((leaf,),) = connection.execute(statement(name), parameters).fetchall()
    _copy(connection, leaf, file)


def _copy(connection: psycopg.Connection, leaf: str, file: Stored) -> None:
    try:
        with connection.cursor() as cursor:
            copy_frame(cursor, sql.Identifier(*leaf.split(".")), read_strictly(file), freeze=True)
    except psycopg.IntegrityError as fault:
        problem = f"it holds a row that the database refuses ({fault.diag.constraint_name or fault.diag.column_name})"
        raise ArchiveError(str(file.path), problem, "find out who altered it, and bring it back from a copy") from fault
