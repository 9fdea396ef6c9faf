"""Watching the close from outside: is the ledger well, and its figures for Prometheus.

Belongs here: looking, by the statements in sql/monitoring/ and at the disk. Nothing here starts a server, migrates or
writes. Not here: how a figure is shown (commands/watching.py), what to do about it (docs/monitoring.md).
"""

import shutil
from collections import Counter
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

QUESTIONS: Final = (
    "batch_progress", "workers_by_status", "slow_workers", "database_activity", "recent_checkpoints",
)  # fmt: skip
"""The five of A13: each a statement of sql/monitoring/ and a view of the schema control."""

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


# ------------------------------------------------------------------------------------------------ figures


@dataclass(frozen=True)
class Metric:
    """A gauge of Prometheus: a sample for each set of labels. `labels` has their names, in the order of the samples."""

    name: str
    about: str
    labels: tuple[str, ...]
    samples: list[tuple[tuple[str, ...], float]]


def metrics(url: str) -> list[Metric]:
    """All figures, `ledger_up` first. Without a server that is the only one, and 0: the others would be old or wrong.

    Labels are months, states, gates and the like: nothing that names a person, a transaction or a batch.
    """
    try:
        with connect(url, autocommit=True) as connection:
            return [_gauge("ledger_up", "Whether the ledger's database answers.", 1), *_figures(connection)]
    except psycopg.OperationalError:
        return [_gauge("ledger_up", "Whether the ledger's database answers.", 0)]


def _figures(connection: psycopg.Connection) -> list[Metric]:
    answers = {question: rows(connection, f"monitoring/{question}") for question in QUESTIONS}
    return [
        *_of_the_months(connection),
        *_of_the_running_batch(answers),
        *_of_the_books(connection),
        *_of_the_incidents(connection),
    ]


def _of_the_months(connection: psycopg.Connection) -> list[Metric]:
    batches, verdicts = rows(connection, "monitoring/batches_by_state"), rows(connection, "monitoring/gate_verdicts")
    return [
        _table("ledger_batches", "Batches of the newest 24 months.", ("period", "kind", "state"), "batches", batches),
        _table("ledger_gate_passed", "Whether a gate passed, in the latest attempt of the month's newest batch.",
               ("period", "gate"), "passed", verdicts),
    ]  # fmt: skip


def _of_the_running_batch(answers: dict[str, list[dict[str, Any]]]) -> list[Metric]:
    progress, workers = answers["batch_progress"], answers["workers_by_status"]
    paced = [row for row in workers if row["average_records_per_second"] is not None]
    timed = [row for row in progress if row["minutes_remaining"] is not None]
    connections = Counter((str(row["state"] or "hidden"),) for row in answers["database_activity"])
    of_batch, of_worker = ("period", "kind"), ("period", "kind", "status")
    return [
        _table("ledger_batch_records_expected", "Records of a running batch.", of_batch, "records_expected", progress),
        _table("ledger_batch_records_processed", "Records of its finished workers.", of_batch, "records_processed",
               progress),
        _table("ledger_batch_minutes_remaining", "Minutes until it is staged.", of_batch, "minutes_remaining", timed),
        _table("ledger_workers", "Workers of batches that have not ended, and of the last.", of_worker, "workers",
               workers),
        _table("ledger_worker_records_per_second", "Average pace of those workers.", of_worker,
               "average_records_per_second", paced),
        _gauge("ledger_slow_workers", "Workers below 500 records a second.", len(answers["slow_workers"])),
        _gauge("ledger_recent_checkpoints", "Workers that finished in the last five minutes.",
               len(answers["recent_checkpoints"])),
        Metric("ledger_connections", "Connections to the ledger's database.", ("state",), sorted(connections.items())),
    ]  # fmt: skip


def _of_the_books(connection: psycopg.Connection) -> list[Metric]:
    (totals,) = rows(connection, "monitoring/totals")
    verified = rows(connection, "monitoring/last_verification")
    closed = [totals] if totals["last_close_at"] is not None else []
    return [
        _table("ledger_open_exceptions", "Transactions that could not be journaled.", (), "open_exceptions", [totals]),
        _table("ledger_open_refused_rows", "Refused source rows that wait.", (), "open_refused_rows", [totals]),
        _table("ledger_database_bytes", "Size of the ledger's database.", (), "database_bytes", [totals]),
        _table("ledger_posted_entries", "Posted entries, by the control tables.", (), "posted_entries", [totals]),
        _table("ledger_posted_lines", "Posted lines, by the control tables.", (), "posted_lines", [totals]),
        _table("ledger_last_close_timestamp_seconds", "When a month was last closed.", (), "last_close_at", closed),
        _table("ledger_last_verification_succeeded", "Whether the last verify found nothing wrong.", (), "succeeded",
               verified),
        _table("ledger_last_verification_timestamp_seconds", "When that was.", (), "performed_at", verified),
    ]  # fmt: skip


def _of_the_incidents(connection: psycopg.Connection) -> list[Metric]:
    noted = rows(connection, "monitoring/incidents")
    return [
        _table("ledger_open_incidents", "Incidents that are not over.", ("severity",), "incidents", noted),
        _gauge("ledger_alerts_undelivered", "Messages that failed or were given up.", noted[0]["undelivered"]),
    ]


def _gauge(name: str, about: str, value: float) -> Metric:
    return Metric(name, about, (), [((), float(value))])


def _table(name: str, about: str, labels: tuple[str, ...], value: str, found: list[dict[str, Any]]) -> Metric:
    return Metric(name, about, labels, [(tuple(str(row[key]) for key in labels), float(row[value])) for row in found])
