"""Workers of a batch from outside (A3): how far they are, which are slow, and one that failed done again.

Which worker may be restarted, and by whom, is decided in PostgreSQL (`control.restart_worker`, migration 0020); the
writing is the engine's, by the same code as every staging.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.progress import SLOW_AFTER_SECONDS, SLOW_BELOW, Progress
from ledger_assets.storage.audit import attempting
from ledger_assets.storage.batches import Batch, explained
from ledger_assets.storage.batches import batch as read_batch
from ledger_assets.storage.database import in_transaction, statement
from ledger_assets.storage.reading import rows
from ledger_assets.storage.rules import StoredRules, usable
from ledger_assets.storage.staging import Staged, Tell, stage


class RulesChanged(LedgerError):  # noqa: N818 - what happened
    """The batch was staged by rules that are no longer those in use."""


@dataclass(frozen=True)
class SlowWorker:
    """A worker that took its time: more than some seconds, at less than the pace that is expected."""

    worker: int
    records: int
    seconds: Decimal
    records_per_second: Decimal

    def __str__(self) -> str:
        return (
            f"worker {self.worker} is slow: {self.records:,} records in {self.seconds} s, {self.records_per_second} a "
            f"second; from {SLOW_BELOW} on it would not be. docs/workers.md says where to look"
        )


def slow_workers(connection: psycopg.Connection, batch_id: str) -> list[SlowWorker]:
    """The workers of a batch that are worth a warning."""
    parameters = {"batch_id": batch_id, "seconds": SLOW_AFTER_SECONDS}
    return [SlowWorker(*row) for row in connection.execute(statement("control/slow_workers"), parameters).fetchall()]


@dataclass(frozen=True)
class Restarted:
    """The batch after a worker was restarted, and what it consists of."""

    batch: Batch
    staged: Staged

    @property
    def what_next(self) -> str:
        """What a person does now."""
        if not self.staged.workers_missing:
            every = f"all {self.staged.workers} workers are complete"
            return f"{every}: ledger-assets close {self.batch.period} runs the gates"
        numbers = ", ".join(map(str, self.staged.workers_missing))
        return f"not complete: {numbers}; restart them, or ledger-assets close {self.batch.period}, which does them all"


def restart_worker(
    url: str,
    batch_id: str,
    worker: int,
    *,
    restarted_by: str,
    rule_set: str,
    performed_by: str,
    progress: Tell = lambda _: None,
) -> Restarted:
    """Do one worker of a batch again whose staging ended before its time; the completed ones are kept.

    Restarted through the URL `restarted_by`, of somebody with the role batch_operator or batch_admin; staged by the
    engine. When it was the last one missing, the batch is VALIDATING, else FAILED as it was. Raises BatchStateError
    (somebody is staging it, the worker has completed, the month changed since it was planned), RulesChanged, RuleError
    and what `stage` raises.
    """
    key = {"batch_id": batch_id, "worker_number": worker, "performed_by": performed_by}

    def restart(connection: psycopg.Connection) -> None:
        with connection.transaction():
            connection.execute(statement("control/restart_worker"), key)

    rules = in_transaction(url, lambda connection: _rules_of(connection, batch_id, rule_set))
    attempt = attempting(restarted_by, "RESTART_WORKER", performed_by=performed_by, batch_id=batch_id, worker=worker)
    with attempt, explained():
        in_transaction(restarted_by, restart)
    batch = in_transaction(url, lambda connection: read_batch(connection, batch_id))
    staged = stage(url, batch, rules.compiled(), performed_by=performed_by, progress=progress, only=worker)
    return Restarted(in_transaction(url, lambda connection: read_batch(connection, batch_id)), staged)


def _rules_of(connection: psycopg.Connection, batch_id: str, rule_set: str) -> StoredRules:
    batch = read_batch(connection, batch_id)
    rules = usable(connection, rule_set)
    if batch.kind == "MONTHEND" and (rules.rule_set.name, rules.rule_set.version) != (
        batch.rule_set,
        batch.rule_version,
    ):
        raise RulesChanged(
            batch_id,
            f"it was staged by {batch.rule_set} v{batch.rule_version}, and {rules.rule_set.title} is in use now",
            f"run ledger-assets close {batch.period}: it is staged anew",
        )
    return rules


@dataclass(frozen=True)
class Watched:
    """A batch at one moment, as somebody who watches sees it."""

    batch_id: str
    period: str
    attempt: int
    state: str
    failure_reason: str | None
    stager: str | None
    """The session that stages it; None when there is none (any more, or yet)."""
    progress: Progress
    workers: Sequence[Mapping[str, Any]]
    """worker, status, records, seconds, records_per_second, error"""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more becomes of it by itself."""
        return self.state in {"COMMITTED", "FAILED", "ABORTED", "ROLLED_BACK"}

    @property
    def by_status(self) -> dict[str, int]:
        """How many workers are in each status."""
        return dict(Counter(str(worker["status"]) for worker in self.workers))


def watched(
    connection: psycopg.Connection, *, period: str | None = None, batch_id: str | None = None
) -> Watched | None:
    """The batch of this id; without one the newest that has not ended, if there is one."""
    found = rows(connection, "control/watched_batch", period=period, batch_id=batch_id)
    if not found:
        return None
    (row,) = found
    done, expected, kept, seconds = (row.pop(name) for name in ("processed", "expected", "kept", "seconds"))
    return Watched(
        **row,
        progress=Progress(done, expected, kept, seconds),
        workers=rows(connection, "control/watched_workers", batch_id=row["batch_id"]),
    )
