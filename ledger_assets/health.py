"""Is the ledger well: server, schema, roles, disk, what was closed last, and whether people are told what goes wrong.

Looks, and changes nothing: no server is started, nothing is migrated. Not here: the figures for Prometheus
(storage/monitoring.py), how it is shown (commands/watching.py), what to do about it (docs/monitoring.md).
"""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg

from ledger_assets.accounting.counting import counted
from ledger_assets.alerts.channels import problem_of
from ledger_assets.settings import Settings
from ledger_assets.storage.database import ROLES, DatabaseError, administrator_url, connect, ledger_url
from ledger_assets.storage.reading import rows
from ledger_assets.storage.revisions import current_revision, newest_revision
from ledger_assets.storage.server import EmbeddedServer, ServerError

LEAST_FREE: Final = 1 << 30
"""Bytes. A close that runs out of disk ends in an error and loses nothing, but it has to be done again."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `ok` is None for what is only told, and decides nothing."""

    what: str
    ok: bool | None
    found: str


@dataclass(frozen=True)
class Health:
    """Everything that was looked at, in that order; well when nothing of it is wrong."""

    findings: list[Finding]

    @property
    def well(self) -> bool:
        """Whether a close could be started."""
        return all(finding.ok is not False for finding in self.findings)


def health(settings: Settings) -> Health:
    """Look at the server, the schema, the roles, the disk, the last close and the open batches; changes nothing.

    An embedded server that is down stays down. What cannot be looked at because the server or the schema is not there
    is left out: what is missing is among the findings.
    """
    disk = _disk(settings.home)
    if settings.database_url is None and not EmbeddedServer(settings.home).status().running:
        return Health(
            [Finding("server", ok=False, found="the embedded server is down: ledger-assets up starts it"), disk]
        )
    try:
        administrator = administrator_url(settings)
        found = current_revision(administrator)
    except (psycopg.Error, DatabaseError, ServerError) as fault:
        return Health([Finding("server", ok=False, found=_first_line(fault)), disk])
    newest = newest_revision()
    findings = [Finding("server", ok=True, found="reachable"), _schema(found, newest), disk]
    if found == newest:
        try:
            with connect(ledger_url(settings)) as connection:
                (row,) = rows(connection, "monitoring/health", roles=list(ROLES))
                noted = rows(connection, "monitoring/incidents")
        except (psycopg.Error, DatabaseError) as fault:
            return Health([*findings, Finding("books", ok=False, found=_first_line(fault))])
        findings += [*_books(row), *_alerts(settings, noted)]
    return Health(findings)


def _schema(found: str | None, newest: str) -> Finding:
    if found == newest:
        return Finding("schema", ok=True, found=f"current, {newest}")
    return Finding(
        "schema", ok=False, found=f"{found or 'empty'}, and the code has {newest}: ledger-assets migrate updates it"
    )


def _disk(home: Path) -> Finding:
    """Of the home: the embedded server's data, the seals' anchors and the reports. Not that of a server elsewhere."""
    there = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(there).free
    return Finding("disk", free >= LEAST_FREE, f"{free / 2**30:,.1f} GiB free in {home}")


def _books(row: dict[str, Any]) -> list[Finding]:
    missing, opened, closed_at = row["missing_roles"], row["open_batches"], row["last_close_at"]
    last = "no month is closed"
    if closed_at is not None:
        last = f"{row['last_closed_period']}, {counted((datetime.now(UTC) - closed_at).days, 'day')} ago"
    return [
        Finding("roles", not missing, f"missing: {', '.join(missing)}" if missing else "all there"),
        Finding("last close", None, last),
        Finding("open batches", None, ", ".join(opened) or "none"),
    ]


def _alerts(settings: Settings, noted: list[dict[str, Any]]) -> list[Finding]:
    """Open incidents are told here too; what could not be sent is a fault, because nobody else tells of it."""
    counts = [f"{row['incidents']} {row['severity']}" for row in reversed(noted) if row["incidents"]]
    undelivered, looked_at = noted[0]["undelivered"], noted[0]["looked_at"]
    looked = "never looked"
    if looked_at is not None:
        minutes = int((datetime.now(UTC) - looked_at).total_seconds() // 60)
        looked = f"last look {counted(minutes, 'minute')} ago"
    incidents = Finding("incidents", None, f"open: {', '.join(counts) or 'none'}; {looked}")
    if settings.alerts is None:
        return [incidents, Finding("alerts", None, "LEDGER_ALERTS is not set here: from here nobody is told")]
    if problem := problem_of(settings):
        return [incidents, Finding("alerts", ok=False, found=problem)]
    if undelivered:
        found = f"{counted(undelivered, 'message')} could not be sent: ledger-assets alerts says why"
        return [incidents, Finding("alerts", ok=False, found=found)]
    return [incidents, Finding("alerts", ok=True, found="nothing is left unsent")]


def _first_line(fault: Exception) -> str:
    return (str(fault).splitlines() or [type(fault).__name__])[0]
