"""Incidents: what somebody has to be told, and the messages about it (A14).

Belongs here: opening, ending and reading them. The rules are in PostgreSQL (migration 0021): when two sightings are one
incident, when a message is tried again. Not here: what is noticed where (automation/), and how a message is worded and
sent (alerts/).
"""

import getpass
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.storage.audit import attempting
from ledger_assets.storage.database import statement

SEVERITIES: Final = ("INFO", "WARNING", "ERROR", "CRITICAL")
"""From what is only told to what must not wait until morning."""

AT_MOST: Final = 1_000
"""So many operations of the audit trail are read in one transaction."""


class IncidentError(LedgerError):
    """An incident that is not there, or is over already."""


class Noted(NamedTuple):
    """What a look at a source led to: how much of it was new, and the incidents that were opened and ended by it."""

    read: int
    opened: int = 0
    resolved: int = 0


def report_incident(  # noqa: PLR0913 - what a message may say, all named at the call
    connection: psycopg.Connection,
    *,
    kind: str,
    subject: str,
    severity: str | None = None,
    period: str | None = None,
    expected: str = "",
    actual: str = "",
    what_to_do: str = "",
    run_id: str | None = None,
    batch_id: str | None = None,
    check: str | None = None,
    title: str | None = None,
    details: Mapping[str, Any] | None = None,
    occurrence: str | None = None,
    happened_at: datetime | None = None,
    performed_by: str | None = None,
) -> int:
    """Open an incident, or note that the open one was seen again; safe to repeat. Returns its number.

    While an incident is open there is no second one of the same kind and subject, and nobody is told twice. It is
    told when somebody sends what is due (`alerts.delivery.send_due`), after this transaction has been committed.

    Args:
        connection: committed by the caller.
        kind: one of `control.incident_kind`.
        subject: what it is about, for example the month; with the kind it says which incident it is.
        severity: None: that of the kind.
        expected, actual: counts and totals; never a row, a name or a number of a person. Masked all the same.
        what_to_do: empty: what the kind says.
        run_id: Dagster's run, which the message links to.
        check: the asset check, if one failed.
        title: None: the subject and what the kind says.
        details: `checks`: a list of the checks that failed, as mappings with check, expected, actual, difference.
        occurrence: what was seen, such as `run:<id>`: the same is noted once, also after the incident is over.
        happened_at: when; None: now.

    Raises psycopg.errors.Error for a kind that there is not.
    """
    row = connection.execute(
        statement("incidents/report"),
        {
            "kind": kind,
            "severity": severity,
            "subject": subject,
            "period": period,
            "batch_id": batch_id,
            "check": check,
            "title": title,
            "expected": expected,
            "actual": actual,
            "what_to_do": what_to_do,
            "run_id": run_id,
            "occurrence": occurrence,
            "details": Jsonb(dict(details or {})),
            "happened_at": happened_at,
            "performed_by": performed_by or getpass.getuser(),
        },
    ).fetchone()
    return int(_value(row))


def resolve(
    connection: psycopg.Connection,
    *,
    kinds: Sequence[str] | None = None,
    subject: str | None = None,
    period: str | None = None,
    how_it_ends: str | None = None,
    before: datetime | None = None,
    reason: str = "",
    performed_by: str | None = None,
) -> list[int]:
    """End the open incidents that fit all that is given; safe to repeat. Returns their numbers.

    Args:
        how_it_ends: only kinds that end so (`control.incident_kind.ends_with`): a closed month ends those with CLOSE.
        before: only what had happened by then: a failure after the success that ends others stays open.
    """
    found = connection.execute(
        statement("incidents/resolve"),
        {
            "kinds": None if kinds is None else list(kinds),
            "subject": subject,
            "period": period,
            "how_it_ends": how_it_ends,
            "before": before,
            "reason": reason,
            "performed_by": performed_by or getpass.getuser(),
        },
    )
    return [number for (number,) in found]


def resolve_by_hand(connection: psycopg.Connection, incident_id: int, *, reason: str, performed_by: str) -> None:
    """Say that an incident is over, and why; it is in the audit trail. Raises IncidentError."""
    attempt = attempting(connection, "RESOLVE_INCIDENT", performed_by=performed_by, incident=incident_id, reason=reason)
    with attempt, connection.transaction():
        try:
            connection.execute(
                statement("incidents/resolve_by_hand"),
                {"incident_id": incident_id, "reason": reason, "performed_by": performed_by},
            )
        except psycopg.Error as refusal:
            if refusal.sqlstate not in ("LA002", "LA005"):
                raise
            culprit, _, rule = str(refusal.diag.message_primary).partition(": ")
            raise IncidentError(culprit, rule, str(refusal.diag.message_hint)) from refusal


def note_operations(connection: psycopg.Connection, *, performed_by: str | None = None) -> Noted:
    """Look at what is new in the audit trail, and at the workers of running batches, whoever's and by whatever door."""
    who = performed_by or getpass.getuser()
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            statement("incidents/note_operations"), {"at_most": AT_MOST, "performed_by": who}
        ).fetchone()
    if row is None:
        raise AssertionError("the function returns a row")
    workers = int(_value(connection.execute(statement("incidents/note_workers"), {"performed_by": who}).fetchone()))
    return Noted(row["operations"] + workers, row["opened"] + workers, row["resolved"])


def hold_source(connection: psycopg.Connection, source: str) -> tuple[int, datetime]:
    """How far a source was read, and since when it counts; held until the transaction ends."""
    row = connection.execute(statement("incidents/hold_source"), {"source": source}).fetchone()
    if row is None:
        raise AssertionError("the function returns a row")
    return int(row[0]), row[1]


def advance_source(connection: psycopg.Connection, source: str, read_to: int) -> None:
    """Note how far a source was read, in the transaction that opens what was found in it."""
    connection.execute(statement("incidents/advance_source"), {"source": source, "read_to": read_to})


def open_incidents(connection: psycopg.Connection, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """The open incidents of some kinds."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement("incidents/open"), {"kinds": list(kinds)}).fetchall()


def noted_before(connection: psycopg.Connection, occurrences: Collection[str]) -> set[str]:
    """Which of these occurrences are in the history of incidents."""
    found = connection.execute(statement("incidents/noted"), {"occurrences": list(occurrences)})
    return {occurrence for (occurrence,) in found}


def kinds(connection: psycopg.Connection) -> list[dict[str, Any]]:
    """What can become an incident: kind, severity, ends_with, says, what_to_do."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement("incidents/kinds")).fetchall()


def incidents(
    connection: psycopg.Connection, *, period: str | None = None, only_open: bool = False
) -> list[dict[str, Any]]:
    """Incidents with what became of the messages about them, oldest first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement("incidents/list"), {"period": period, "only_open": only_open}).fetchall()


# ------------------------------------------------------------------------------------------------ messages


def plan_deliveries(connection: psycopg.Connection, channels: Sequence[Mapping[str, Any]]) -> int:
    """Plan what the channels were not told yet; each with channel, from_severity, kinds (or None) and resolved."""
    given = Jsonb([dict(channel) for channel in channels])
    return int(_value(connection.execute(statement("incidents/plan"), {"channels": given}).fetchone()))


def claim_delivery(connection: psycopg.Connection, channels: Sequence[str]) -> dict[str, Any] | None:
    """The next delivery that is due, with its incident; held until the transaction ends. None when nothing is due."""
    number = _value(connection.execute(statement("incidents/claim"), {"channels": list(channels)}).fetchone())
    if number is None:
        return None
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement("incidents/delivery"), {"delivery_id": number}).fetchone()


def settle_delivery(
    connection: psycopg.Connection, delivery_id: int, *, error: str | None, performed_by: str | None = None
) -> str:
    """Write down what became of a try to send; without an error it was sent. Returns the new status."""
    row = connection.execute(
        statement("incidents/settle"),
        {"delivery_id": delivery_id, "error": error, "performed_by": performed_by or getpass.getuser()},
    ).fetchone()
    return str(_value(row))


def retry_deliveries(connection: psycopg.Connection, *, performed_by: str | None = None) -> int:
    """Make everything due that failed or was given up. Returns how many."""
    row = connection.execute(statement("incidents/retry"), {"performed_by": performed_by or getpass.getuser()})
    return int(_value(row.fetchone()))


def _value(row: Any) -> Any:
    if row is None:
        raise AssertionError("the function returns a row")
    return row[0]
