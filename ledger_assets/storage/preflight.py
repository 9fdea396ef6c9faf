"""Look before anything is staged: the month's prerequisites and totals, the server's connections, disk and writes (A2).

The same for Dagster's checks and for a dry run. What is enough is decided elsewhere: by PostgreSQL (migration 0019) and
by accounting/preflight. The disk is that of the embedded server's data; nobody can ask a server elsewhere for its own.
"""

import shutil
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import psycopg

from ledger_assets.accounting.preflight import (
    Connections,
    announced_totals_arrived,
    disk_space,
    free_connections,
    prerequisites_complete,
    write_probe,
)
from ledger_assets.accounting.verdicts import Verdict
from ledger_assets.settings import Settings
from ledger_assets.storage.audit import record
from ledger_assets.storage.database import in_transaction, statement
from ledger_assets.storage.prerequisites import of_month
from ledger_assets.storage.reading import rows
from ledger_assets.storage.server_site import ServerSite
from ledger_assets.storage.staging import READERS, WRITERS

CONNECTIONS_NEEDED = READERS + WRITERS + 3
"""A close reads and writes at once, starts the next worker meanwhile, measures the source at the end, and shows by one
more that it is at work."""
_TAKES_NO_WRITES = (psycopg.errors.DiskFull, psycopg.errors.ReadOnlySqlTransaction)


def preflight(url: str, period: str, *, data: Path | None, performed_by: str, rehearsal: bool = False) -> list[Verdict]:
    """Every pre-flight check of a month, in the order of PREFLIGHT_CHECKS. What fails is recorded in the audit trail.

    Changes nothing in the books, and leaves nothing behind.

    Args:
        data: where the server's data lies, as far as that is on this machine (`data_directory`).
        rehearsal: of a dry run, which stages everything, beside what a close has staged.
    """
    month, around = in_transaction(
        url,
        lambda connection: (
            of_month(connection, period),
            rows(connection, "control/preflight_surroundings", period=period)[0],
        ),
    )
    failures = {row["rule"]: (row["problem"], row["fix"]) for row in month["waits_for"]}
    verdicts = [
        prerequisites_complete(month["prerequisites"], failures.get("prerequisites_complete")),
        announced_totals_arrived(month["announced_totals"], failures.get("announced_totals_arrived")),
        free_connections(_connections(around), CONNECTIONS_NEEDED),
        disk_space(
            around["rows_waiting"],
            _free(data),
            str(data or "the database server"),
            rows_staged=0 if rehearsal else around["rows_staged"],
        ),
        _write_probe(url),
    ]
    if failed := {verdict.gate: verdict.detail for verdict in verdicts if not verdict.passed}:
        with suppress(*_TAKES_NO_WRITES):  # which is what the probe says then
            in_transaction(url, lambda connection: _record(connection, period, failed, performed_by))
    return verdicts


def data_directory(settings: Settings, url: str = "") -> Path | None:
    """Where the server keeps its data, None for one that is not ours to look at: a URL of its own was given."""
    return None if url or settings.database_url else ServerSite(settings.home.absolute()).data


def _record(connection: psycopg.Connection, period: str, failed: dict[str, str], performed_by: str) -> None:
    record(connection, "PREFLIGHT", performed_by=performed_by, outcome="FAILED", period=period, failed=failed)


def _connections(around: dict[str, Any]) -> Connections:
    return Connections(
        {
            "server": (around["max_connections"] - around["reserved_connections"], around["connections"]),
            "database": (around["database_limit"], around["database_connections"]),
            "login": (around["login_limit"], around["login_connections"]),
        }
    )


def _free(data: Path | None) -> int | None:
    if data is None:
        return None
    there = next(path for path in (data, *data.parents) if path.exists())
    return shutil.disk_usage(there).free


def _write_probe(url: str) -> Verdict:
    started = perf_counter()
    try:
        in_transaction(url, lambda connection: connection.execute(statement("control/probe_write")))
    except _TAKES_NO_WRITES as fault:
        return write_probe(None, fault.diag.message_primary or type(fault).__name__)
    return write_probe(round((perf_counter() - started) * 1000))
