"""The audit trail, for those who read it and those who take it away to check it."""

import getpass
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ledger_assets.accounting.counting import counted
from ledger_assets.commands.options import PERIOD, ready
from ledger_assets.presentation import print_table
from ledger_assets.settings import Settings

SHOWN = (
    "position",
    "performed_at",
    "operation",
    "batch_id",
    "period",
    "performed_by",
    "state_after",
    "outcome",
    "details",
)
"""What people are shown; the files have every column."""

AT_MOST = 1_000
"""Rows of the table on the screen."""


@click.command("audit")
@click.option("--period", type=PERIOD, help="Operations of one month, for example 2025-01.")
@click.option("--batch", "batch_id", help="Operations of one batch, for example 2025-01-MONTHEND.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Operations of that day (UTC) and later.")
@click.option(
    "--format",
    "notation",
    default="table",
    show_default=True,
    type=click.Choice(["table", "csv", "jsonl"]),
    help="jsonl can be checked without this program: docs/audit-trail.md says how.",
)
@click.option("--out", "path", type=click.Path(dir_okay=False, path_type=Path), help="The file to write.")
def audit(period: str | None, batch_id: str | None, since: datetime | None, notation: str, path: Path | None) -> None:
    """Show or export the audit trail, in the order of its hash chain; an export is recorded in it."""
    from ledger_assets.storage.audit_export import export_trail
    from ledger_assets.storage.database import connect

    if path is not None and notation == "table":
        raise click.UsageError("--out wants --format csv or --format jsonl")
    filters = {"period": period, "batch_id": batch_id, "since": since.replace(tzinfo=UTC) if since else None}
    with connect(ready(Settings.from_environment())) as connection:
        if notation == "table":
            _show(connection, filters)
            return
        output = path or sys.stdout
        written = export_trail(connection, output, notation=notation, performed_by=getpass.getuser(), **filters)
    if path is not None:
        click.echo(f"{path}: {counted(written, 'operation')}")


def _show(connection: Any, filters: dict[str, Any]) -> None:
    from collections import deque

    from ledger_assets.storage.audit import trail
    from ledger_assets.storage.audit_export import exported_row

    operations = deque(map(exported_row, trail(connection, **filters)), maxlen=AT_MOST)
    for row in operations:  # the microseconds are for the hash, and fold in the table
        row["performed_at"] = f"{row['performed_at'][:19].replace('T', ' ')} UTC"
    print_table("audit trail", [{column: row[column] for column in SHOWN} for row in operations])
