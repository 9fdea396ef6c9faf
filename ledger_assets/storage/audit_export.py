"""The audit trail as a file or a table: with positions and hashes, so that it can be checked without us (A9)."""

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import psycopg

from ledger_assets.accounting.audit_chain import FIELDS, Link
from ledger_assets.accounting.spreadsheets import spreadsheet_safe
from ledger_assets.storage.audit import record, trail

COLUMNS = ("position", *FIELDS, "version", "previous_hash", "hash")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def exported_row(link: Link) -> dict[str, Any]:
    """An operation as it is exported: `performed_at` as ISO 8601 in UTC with microseconds, hashes as hex digits.

    `details` stays the text that is hashed, JSON within JSON: another program would write its numbers another way.
    """
    operation = dict(zip(FIELDS, link.fields or [None] * len(FIELDS), strict=True))
    row: dict[str, Any] = {"position": link.position, **operation, "operation_id": link.operation_id}
    row["performed_at"] = _moment(operation["performed_at"])
    return row | {
        "version": link.version,
        "previous_hash": link.previous_hash.hex() if link.previous_hash else None,
        "hash": link.hash.hex() if link.hash else None,
    }


def _moment(microseconds: str | None) -> str | None:
    try:
        return (_EPOCH + timedelta(microseconds=int(microseconds or ""))).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        return microseconds  # missing, or made to be no moment of ours


def export_trail(
    connection: psycopg.Connection, output: Path | IO[str], *, notation: str, performed_by: str, **filters: Any
) -> int:
    """Write the trail as `jsonl` or `csv`; returns the number of operations. The export is recorded in the trail.

    A file is there completely or not at all, and not before the trail says that it was made.

    Args:
        filters: see `audit.trail`.
    """
    rows = map(exported_row, trail(connection, **filters))
    wanted = {name: str(value) for name, value in filters.items() if value is not None}

    def note(written: int) -> None:
        record(
            connection,
            "EXPORT_AUDIT",
            performed_by=performed_by,
            period=filters.get("period"),
            batch_id=filters.get("batch_id"),
            rows=written,
            format=notation,
            filters=wanted,
        )
        connection.commit()

    if not isinstance(output, Path):
        written = _WRITERS[notation](rows, output)
        note(written)
        return written
    unfinished = output.with_name(f"{output.name}.part")
    try:
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            written = _WRITERS[notation](rows, file)
        note(written)
        unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)
    return written


def _counted(rows: Iterable[dict[str, Any]], output: IO[str]) -> Iterator[int]:
    for row in rows:
        output.write(json.dumps(row) + "\n")
        yield 1


def _json_lines(rows: Iterable[dict[str, Any]], output: IO[str]) -> int:
    return sum(_counted(rows, output))


def _csv(rows: Iterable[dict[str, Any]], output: IO[str]) -> int:
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(COLUMNS)
    written = 0
    for row in rows:
        writer.writerow([spreadsheet_safe(cell) if isinstance(cell, str) else cell for cell in row.values()])
        written += 1
    return written


_WRITERS = {"jsonl": _json_lines, "csv": _csv}
