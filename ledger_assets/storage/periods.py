"""The life of a month: locked, reopened, and what its closes changed (E4).

Thin on purpose, like batches: what is allowed is decided in PostgreSQL (migration 0012).
"""

from typing import Any

import psycopg

from ledger_assets.storage.audit import attempting
from ledger_assets.storage.batches import explained
from ledger_assets.storage.database import statement
from ledger_assets.storage.reading import rows


def lock(connection: psycopg.Connection, period: str, *, performed_by: str) -> list[str]:
    """Lock a closed month and all closed months before it; returns those that were not locked yet.

    Raises BatchStateError when the month is not closed.
    """
    attempt = attempting(connection, "LOCK_PERIOD", performed_by=performed_by, period=period)
    with attempt, explained(), connection.transaction():
        locked = connection.execute(statement("period/lock"), {"period": period, "performed_by": performed_by})
        return [month for (month,) in locked.fetchall()]


def reopen(
    connection: psycopg.Connection, period: str, *, reason: str, performed_by: str, chain: bool = False
) -> list[str]:
    """Open a closed or locked month again; returns the reopened months, latest first.

    With `chain` the later months that build on it are reopened as well. Nothing leaves the ledger; closing the months
    again, from the earliest on, rolls the balances forward.

    Raises NotConfirmed without a reason, BatchStateError when the month is not closed, BuiltUpon when later
    months build on it and `chain` was not asked for. Nothing was changed then.
    """
    parameters = {"period": period, "reason": reason, "chain": chain, "performed_by": performed_by}
    attempt = attempting(connection, "REOPEN_PERIOD", performed_by=performed_by, period=period, reason=reason)
    with attempt, explained(), connection.transaction():
        return [month for (month,) in connection.execute(statement("period/reopen"), parameters).fetchall()]


def closes(connection: psycopg.Connection, period: str) -> list[dict[str, Any]]:
    """The closes of a month that led to balances of their own, and the reopenings that ended them."""
    return rows(connection, "period/closes", period=period)


def standing_balances(connection: psycopg.Connection, period: str) -> list[dict[str, Any]]:
    """The balances as the last close of a month took them, by account."""
    return rows(connection, "period/standing_balances", period=period)


def differences(connection: psycopg.Connection, period: str) -> list[dict[str, Any]]:
    """What the last close of a month changed against the one before, by account; amounts are debit positive."""
    return rows(connection, "period/differences", period=period)
