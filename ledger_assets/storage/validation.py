"""Run the gates on a staged batch and keep what they say.

The one place where control totals, verdicts and the batch's state meet: measured by PostgreSQL, judged by
`accounting/gates.py`, recorded in `control.batch_validation_result`. The asset checks, the dry run and the tests all
come through here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from ledger_assets.accounting.gates import evaluate
from ledger_assets.accounting.masking import masked_record
from ledger_assets.accounting.verdicts import Verdict
from ledger_assets.storage import control_totals
from ledger_assets.storage.audit import record
from ledger_assets.storage.batches import Batch, BatchStateError, Overtaken, explained, fail, pass_gates
from ledger_assets.storage.batches import batch as read_batch
from ledger_assets.storage.database import in_transaction, statement

OFFENDING_ROWS_SHOWN = 20
DERIVED = ("REVERSAL", "YEAREND")
SHOWN_OF_DERIVED = ("sequence_integrity", "debit_credit_balance")


@dataclass(frozen=True)
class GateResult:
    """A verdict, and the first rows that broke it (each a mapping of column to text; empty when it passed)."""

    verdict: Verdict
    offending: Sequence[Mapping[str, str]]


def validate(url: str, batch: Batch, *, performed_by: str) -> list[GateResult]:
    """Evaluate all gates of a staged batch, record the verdicts, and move it to VALIDATED or FAILED.

    Repeatable: a batch that failed and was put right passes the next time; leaves that nobody touched are not read
    again. Raises BatchStateError for a batch that was not staged to its end, or that another run has replaced.
    """
    in_transaction(url, lambda connection: _require_staged(connection, batch))
    control_totals.measure(url, batch.batch_id)
    results = in_transaction(url, lambda connection: _judged(connection, batch, performed_by))
    failed = [result.verdict for result in results if not result.verdict.passed]
    if failed:
        reason = "; ".join(f"{verdict.gate}: {verdict.detail}" for verdict in failed)
        in_transaction(url, lambda connection: fail(connection, batch, performed_by=performed_by, reason=reason))
    else:
        in_transaction(url, lambda connection: pass_gates(connection, batch, performed_by=performed_by))
    return results


def _require_staged(connection: psycopg.Connection, batch: Batch) -> None:
    with explained():
        connection.execute(statement("control/refuse_aborted"), {"batch_id": batch.batch_id})
    now = read_batch(connection, batch.batch_id)
    if now.entry_count is None and now.state == "PROCESSING":
        raise Overtaken(
            batch.batch_id,
            f"another run is staging it (attempt {now.attempt})",
            f"let it: ledger-assets status {batch.period} --watch; close the month when nobody is at it any more",
        )
    if now.entry_count is None:
        raise BatchStateError(batch.batch_id, "it was not staged to its end", f"ledger-assets close {batch.period}")


def _judged(connection: psycopg.Connection, batch: Batch, performed_by: str) -> list[GateResult]:
    """Evaluate and record."""
    verdicts = evaluate(control_totals.read(connection, batch.batch_id))
    results = [GateResult(verdict, _offending(connection, batch, verdict)) for verdict in verdicts]
    for result in results:
        _record(connection, batch, result)
    _note(connection, batch, verdicts, performed_by)
    return results


def _offending(connection: psycopg.Connection, batch: Batch, verdict: Verdict) -> list[dict[str, str]]:
    if verdict.passed:
        return []
    if batch.kind in DERIVED and verdict.gate not in SHOWN_OF_DERIVED:
        return []  # it has no transactions to look for: the verdict names the accounts
    months = connection.execute(statement("control/batch_source_months"), {"batch_id": batch.batch_id}).fetchall()
    parameters = {
        "batch_id": batch.batch_id,
        "period": batch.period,
        "source_months": [month for (month,) in months],
        "limit": OFFENDING_ROWS_SHOWN,
    }
    # Nobody has counted these tables yet, and what PostgreSQL guesses then makes it loop over rows by the million.
    connection.execute("SET LOCAL enable_nestloop = off")
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement(f"staging/offending_{verdict.gate}"), parameters).fetchall()
    return [
        {column: "" if value is None else str(value) for column, value in masked_record(row).items()} for row in rows
    ]


def _note(connection: psycopg.Connection, batch: Batch, verdicts: Sequence[Verdict], performed_by: str) -> None:
    """The verdicts in the audit trail."""
    record(
        connection,
        "GATES",
        performed_by=performed_by,
        outcome="SUCCESS" if all(verdict.passed for verdict in verdicts) else "FAILED",
        batch_id=batch.batch_id,
        attempt=batch.attempt,
        verdicts={
            verdict.gate: {"passed": verdict.passed, "expected": verdict.expected, "actual": verdict.actual}
            for verdict in verdicts
        },
    )


def _record(connection: psycopg.Connection, batch: Batch, result: GateResult) -> None:
    verdict = result.verdict
    parameters: dict[str, Any] = {
        "batch_id": batch.batch_id,
        "attempt": batch.attempt,
        "gate": verdict.gate,
        "passed": verdict.passed,
        "expected": verdict.expected,
        "actual": verdict.actual,
        "difference": verdict.difference,
        "detail": verdict.detail,
        "offending": Jsonb(list(result.offending)),
    }
    connection.execute(statement("control/record_verdict"), parameters)
