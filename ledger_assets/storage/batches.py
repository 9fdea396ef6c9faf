"""Batches of a period: open one, look at it, post it, take the balances (A1, A5).

Thin on purpose. What a step does and forbids is decided in PostgreSQL (migrations 0005 to 0007), where it holds for
every client; here it is called, and its refusals become errors that say what to do.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.storage.audit import attempting
from ledger_assets.storage.database import statement
from ledger_assets.storage.unstorable_text import storable

# Raised by our own functions; see the RAISE statements of the migrations.
PREFLIGHT_FAILED, WRONG_STATE, GATE_FAILED = "LA001", "LA002", "LA003"
BUILT_UPON, NOT_CONFIRMED = "LA004", "LA005"
OVERTAKEN = "LA006"
_CHECK_VIOLATION = "23514"

ROWS_PER_WORKER = 250_000
"""Source rows per shard: few enough that two writers share a month of a million rows and that four shards in memory
stay far under 4 GiB; enough that ten million rows make tens of leaves, not hundreds."""


class PreflightFailed(LedgerError):  # noqa: N818 - what happened
    """The period cannot be closed now; nothing was started."""


class BatchStateError(LedgerError):
    """The batch is not in the state that the step needs."""


class Overtaken(BatchStateError):  # noqa: N818 - what happened
    """Another run has taken the batch over and goes on with it; nothing is left to do for this one."""


class UnusableValue(LedgerError):  # noqa: N818 - what it is
    """A value that the database cannot hold: a month that is none, a number out of range."""


class GateFailed(LedgerError):  # noqa: N818 - what happened
    """The posting transaction found a gate's condition broken; nothing was posted."""


class BuiltUpon(LedgerError):  # noqa: N818 - what happened
    """Later postings stand on the batch or the month; nothing was changed."""


class NotConfirmed(LedgerError):  # noqa: N818 - what happened
    """A correction without a reason, or without its typed confirmation; nothing was changed."""


@dataclass(frozen=True)
class Batch:
    """The record of a batch (`control.batch`), as far as the close needs it."""

    batch_id: str
    period: str
    kind: str
    attempt: int
    state: str
    rule_set: str
    rule_version: int
    first_je_number: int
    last_je_number: int | None
    entry_count: int | None
    line_count: int | None
    failure_reason: str | None
    started_by: str
    initiated_at: datetime
    committed_at: datetime | None


@contextmanager
def explained(*, wrong_state: type[LedgerError] = BatchStateError) -> Iterator[None]:
    """Turn the refusals of our SQL functions into errors of the ledger; every other database error passes as it is."""
    kinds: dict[str | None, type[LedgerError]] = {
        PREFLIGHT_FAILED: PreflightFailed,
        WRONG_STATE: wrong_state,
        GATE_FAILED: GateFailed,
        BUILT_UPON: BuiltUpon,
        NOT_CONFIRMED: NotConfirmed,
        OVERTAKEN: Overtaken,
    }
    try:
        yield
    except psycopg.Error as refusal:
        kind = kinds.get(refusal.sqlstate)
        if kind is None:
            _explain_value(refusal)
            raise
        diagnosis = refusal.diag
        culprit, _, rule = (diagnosis.message_primary or "").partition(": ")
        if not rule:
            culprit, rule = diagnosis.constraint_name or "batch", culprit
        if diagnosis.message_detail:
            rule = f"{rule} ({diagnosis.message_detail})"
        raise kind(culprit, rule, (diagnosis.message_hint or "see control.batch").rstrip(".")) from refusal


def _explain_value(refusal: psycopg.Error) -> None:
    """Raise UnusableValue for a value of the caller that its column cannot hold (class 22, or a domain's check)."""
    is_of_a_domain = refusal.sqlstate == _CHECK_VIOLATION and refusal.diag.table_name is None
    if is_of_a_domain or (refusal.sqlstate or "").startswith("22"):
        rule = refusal.diag.message_primary or "it does not fit"
        raise UnusableValue("a value", rule, "write months as YYYY-MM, and numbers that a column can hold") from refusal


def open_batch(
    connection: psycopg.Connection,
    *,
    period: str,
    rule_set: str,
    rule_version: int,
    first_period: str,
    performed_by: str,
    kind: str = "MONTHEND",
    rows_per_worker: int = ROWS_PER_WORKER,
    run_id: str | None = None,
) -> Batch | None:
    """Plan a batch over the period's unprocessed loads, in one transaction.

    An unposted month end goes on where its workers ended, if nothing has changed since it was planned (docs/adr/0019);
    any other unposted batch is replaced. Returns None when the period is posted and nothing new has arrived. Raises
    PreflightFailed.
    """
    parameters = {
        "period": period,
        "kind": kind,
        "rule_set": rule_set,
        "rule_version": rule_version,
        "rows_per_worker": rows_per_worker,
        "first_period": first_period,
        "performed_by": performed_by,
        "run_id": run_id,
    }
    attempt = attempting(connection, "INITIATE", performed_by=performed_by, period=period, kind=kind, run_id=run_id)
    with attempt, explained(), connection.transaction():
        batch_id = None
        if kind == "MONTHEND":
            connection.execute(statement("control/end_dead_dry_runs"), parameters)
            (batch_id,) = _one(connection, "control/resume_batch", parameters)
        if batch_id is None:
            (batch_id,) = _one(connection, "control/open_batch", parameters)
        return None if batch_id is None else batch(connection, batch_id)


def batch(connection: psycopg.Connection, batch_id: str) -> Batch:
    """The batch's record. Raises BatchStateError when there is none."""
    with connection.cursor(row_factory=class_row(Batch)) as cursor:
        found = cursor.execute(statement("control/batch"), {"batch_id": batch_id}).fetchone()
    if found is None:
        raise BatchStateError(batch_id, "there is no such batch", "control.batch lists them")
    return found


def latest_batch(connection: psycopg.Connection, period: str) -> Batch | None:
    """The newest month-end batch of the period, None when there is none."""
    row = connection.execute(statement("control/latest_batch"), {"period": period}).fetchone()
    return None if row is None else batch(connection, row[0])


def pass_gates(connection: psycopg.Connection, the_batch: Batch, *, performed_by: str) -> None:
    """Record that this attempt passed its gates. Raises BatchStateError for one that is not whole, or replaced."""
    attempt = attempting(
        connection, "STATE", performed_by=performed_by, batch_id=the_batch.batch_id, wanted="VALIDATED"
    )
    with attempt, explained(), connection.transaction():
        connection.execute(
            statement("control/pass_batch"),
            {"batch_id": the_batch.batch_id, "attempt": the_batch.attempt, "performed_by": performed_by},
        )


def fail(connection: psycopg.Connection, the_batch: Batch, *, performed_by: str, reason: str) -> None:
    """Record that this attempt of the batch failed; does nothing when another attempt has replaced it."""
    with connection.transaction():
        connection.execute(
            statement("control/fail_batch"),
            {
                "batch_id": the_batch.batch_id,
                "attempt": the_batch.attempt,
                "performed_by": performed_by,
                "reason": storable(reason),
            },
        )


def post_batch(connection: psycopg.Connection, batch_id: str, *, first_period: str, performed_by: str) -> bool:
    """Post the batch in one transaction. False when it is posted already.

    Raises PreflightFailed, BatchStateError or GateFailed, and then nothing has happened.
    """
    attempt = attempting(connection, "POST", performed_by=performed_by, batch_id=batch_id)
    with attempt, explained(), connection.transaction():
        (posted,) = _one(
            connection,
            "ledger/post_batch",
            {"batch_id": batch_id, "first_period": first_period, "performed_by": performed_by},
        )
    return bool(posted)


def take_snapshot(connection: psycopg.Connection, period: str, *, first_period: str, performed_by: str) -> int:
    """Take the period's balances and close it; returns how many accounts have one. Safe to repeat.

    Raises PreflightFailed when the month before is not closed or something of the month is not done with (see
    `control.closing_obstacle`), BatchStateError when nothing is posted.
    """
    attempt = attempting(connection, "CLOSE_PERIOD", performed_by=performed_by, period=period)
    with attempt, explained(), connection.transaction():
        (accounts,) = _one(
            connection,
            "snapshot/take_snapshot",
            {"period": period, "first_period": first_period, "performed_by": performed_by},
        )
    return int(accounts)


def end_dry_run(connection: psycopg.Connection, the_batch: Batch, *, performed_by: str) -> None:
    """Remove the staged rows of a dry run; its record stays, ABORTED. Raises BatchStateError for any other batch."""
    with explained(), connection.transaction():
        connection.execute(
            statement("control/end_dry_run"), {"batch_id": the_batch.batch_id, "performed_by": performed_by}
        )


def _one(connection: psycopg.Connection, name: str, parameters: dict[str, Any]) -> tuple[Any, ...]:
    row = connection.execute(statement(name), parameters).fetchone()
    if row is None:
        raise AssertionError(f"{name} returned no row")
    return row
