"""Correct the books (A6): abort a batch, roll a posted one back.

Thin on purpose, as `batches`: what is allowed and what happens is decided in PostgreSQL (migration 0011). Reversals and
year ends, which book new entries, are in `derived_batches`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.storage.audit import attempting
from ledger_assets.storage.batches import BatchStateError, explained
from ledger_assets.storage.database import statement


class BooksInUse(LedgerError):  # noqa: N818 - what happened
    """Somebody has been reading or writing for longer than a correction waits; nothing was done."""


@dataclass(frozen=True)
class RolledBack:
    """What taking one batch out of the books changed.

    `numbers` is the range of entry numbers given back (None for a batch without entries), `loads` are those that no
    batch has posted any more, balances are of funds, as text in the currency's two decimals.
    """

    batch_id: str
    period: str
    entries: int
    numbers: tuple[int, int] | None
    loads: Sequence[int]
    fund_balances_before: Mapping[str, str]
    fund_balances_after: Mapping[str, str]
    month_before: str
    month_after: str


def abort_batch(connection: psycopg.Connection, batch_id: str, *, reason: str, performed_by: str) -> bool:
    """Give up an unposted batch with its staged rows. False when it was aborted before.

    Raises BatchStateError for a posted batch, NotConfirmed without a reason.
    """
    parameters = {"batch_id": batch_id, "reason": reason, "performed_by": performed_by}
    attempt = attempting(connection, "ABORT", performed_by=performed_by, batch_id=batch_id, reason=reason)
    with attempt, _not_waiting_for_ever(batch_id), explained(), connection.transaction():
        (aborted,) = _one(connection, "control/abort_batch", parameters)
    return bool(aborted)


def roll_back(
    connection: psycopg.Connection,
    batch_id: str,
    *,
    reason: str,
    confirmation: str,
    performed_by: str,
    chain: bool = False,
) -> list[RolledBack]:
    """Take a posted batch out of the books, in one transaction; with `chain` also all that was posted on top of it.

    Returns what changed, batch by batch, in the order in which they were taken out. Raises BuiltUpon when later
    postings stand on the batch, BatchStateError, NotConfirmed, GateFailed when the rest would not be in order, and
    BooksInUse; then nothing has happened.
    """
    parameters = {"batch_id": batch_id, "reason": reason, "confirmation": confirmation, "performed_by": performed_by}
    name = "ledger/roll_back_chain" if chain else "ledger/roll_back_batch"
    attempt = attempting(connection, "ROLLBACK", performed_by=performed_by, batch_id=batch_id, reason=reason)
    with attempt, _not_waiting_for_ever(batch_id), explained(), connection.transaction():
        (effects,) = _one(connection, name, parameters)
    return [_rolled_back(effect) for effect in effects]


def _rolled_back(effect: dict[str, Any]) -> RolledBack:
    numbers = effect.pop("numbers")
    return RolledBack(**effect, numbers=None if numbers is None else tuple(numbers))


@contextmanager
def _not_waiting_for_ever(batch_id: str) -> Iterator[None]:
    try:
        yield
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as fault:
        raise BooksInUse(
            batch_id, "somebody has been reading or writing this month for too long", "try again"
        ) from fault


def _one(connection: psycopg.Connection, name: str, parameters: dict[str, Any]) -> tuple[Any, ...]:
    row = connection.execute(statement(name), parameters).fetchone()
    if row is None:
        raise BatchStateError(name, "it returned no row", "look at the statement")
    return row
