"""What a month waits for: prerequisites that other systems report, totals that the source announces (A2).

Thin on purpose, like batches: what is allowed and what blocks is decided in PostgreSQL (migration 0019).
"""

from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import dict_row

from ledger_assets.accounting.starting import Month
from ledger_assets.settings import Settings
from ledger_assets.storage.audit import attempting
from ledger_assets.storage.batches import explained
from ledger_assets.storage.database import statement
from ledger_assets.storage.inbox import files_in_inbox
from ledger_assets.storage.reading import rows


def report(
    connection: psycopg.Connection,
    period: str,
    name: str,
    *,
    status: str = "COMPLETE",
    reference: str | None = None,
    reported_by: str,
) -> int:
    """Say what became of a prerequisite of a month; returns the report's number. The latest report counts.

    Raises BatchStateError for a name or status that there is not. Nothing was changed then.
    """
    parameters = {"period": period, "name": name, "status": status, "reference": reference, "reported_by": reported_by}
    told = {"performed_by": reported_by, "period": period, "prerequisite": name, "status": status}
    with attempting(connection, "REPORT_PREREQUISITE", **told), explained(), connection.transaction():
        return int(_one(connection, "control/report_prerequisite", parameters))


def announce(
    connection: psycopg.Connection,
    period: str,
    txn_type: str,
    *,
    row_count: int,
    gross: Decimal,
    reference: str | None = None,
    announced_by: str,
) -> int:
    """Say how many rows of a type the source sent for a month, and their gross amount; returns its number.

    It replaces what was announced of the type before. Raises BatchStateError for a type that is no code, or totals that
    cannot be. Nothing was changed then.
    """
    parameters = {"period": period, "txn_type": txn_type, "rows": row_count, "gross": gross}
    parameters |= {"reference": reference, "announced_by": announced_by}
    attempt = attempting(
        connection, "ANNOUNCE_SOURCE", performed_by=announced_by, period=period, rows=row_count, gross=str(gross)
    )
    with attempt, explained(), connection.transaction():
        return int(_one(connection, "control/announce_source", parameters))


def require(
    connection: psycopg.Connection, name: str, *, required: bool, description: str | None = None, performed_by: str
) -> bool:
    """Make a prerequisite obligatory for every close, or take that back; with a description it may be a new one.

    Returns whether that changed anything. Raises BatchStateError for a name that there is not, or that is none.
    """
    parameters = {"name": name, "required": required, "description": description, "performed_by": performed_by}
    attempt = attempting(
        connection, "REQUIRE_PREREQUISITE", performed_by=performed_by, prerequisite=name, required=required
    )
    with attempt, explained(), connection.transaction():
        return bool(_one(connection, "control/require_prerequisite", parameters))


def of_month(connection: psycopg.Connection, period: str) -> dict[str, list[dict[str, Any]]]:
    """The prerequisites of a month, its announced totals beside what is loaded, and what keeps it from closing."""
    return {
        "prerequisites": rows(connection, "control/prerequisites", period=period),
        "announced_totals": rows(connection, "control/announced_totals", period=period),
        "waits_for": rows(connection, "control/prerequisite_failures", period=period),
    }


def overview(connection: psycopg.Connection) -> dict[str, list[dict[str, Any]]]:
    """The prerequisites that there are, and the months of which something was reported or announced."""
    return {
        "prerequisites": rows(connection, "control/known_prerequisites"),
        "months": rows(connection, "control/months_with_reports"),
    }


def months_to_start(connection: psycopg.Connection, settings: Settings, *, first_period: str) -> list[Month]:
    """The months whose close could start now, the earliest first: one query on small tables, and the inboxes."""
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(statement("control/months_to_start"), {"first_period": first_period}).fetchall()
    return [Month(**month, files=files_in_inbox(settings, month["period"])) for month in found]


def _one(connection: psycopg.Connection, name: str, parameters: dict[str, Any]) -> Any:
    row = connection.execute(statement(name), parameters).fetchone()
    if row is None:
        raise AssertionError(f"{name} returned no row")
    return row[0]
