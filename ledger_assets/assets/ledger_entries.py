"""The commit: a batch that passed its gates becomes part of the books, all at once or not at all (A5, E1)."""

import time

import psycopg
from dagster import AssetExecutionContext, Failure, MaterializeResult, asset

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.assets.overtaken import NO_INCIDENT
from ledger_assets.metadata import bars, table
from ledger_assets.periods import MONTHS
from ledger_assets.resources import LedgerResource
from ledger_assets.storage.batches import Batch, latest_batch, post_batch
from ledger_assets.storage.batches import batch as read_batch
from ledger_assets.storage.reading import rows

REFUSED = "refused"
"""Metadata key of a posting that was refused; by what error of the ledger."""


@asset(
    deps=["staged_journal_entries"],
    partitions_def=MONTHS,
    group_name="ledger",
    kinds={"postgres"},
    owners=["team:finance-operations"],
)
def ledger_entries(context: AssetExecutionContext, ledger: LedgerResource) -> MaterializeResult[None]:
    """Posted journal entries: append-only, numbered without gap, visible all at once.

    Posting attaches the staged leaf tables to the ledger in one transaction, which checks every gate's condition
    again. It moves no row, so it takes as long for ten million transactions as for ten. Read them in
    `ledger.ledger_entry_header` and `ledger.ledger_entry_line`.
    """
    period = context.partition_key
    batch = ledger.in_transaction(lambda connection: latest_batch(connection, period))
    if batch is None:
        raise Failure(f"{period} has no batch: materialize staged_journal_entries first", allow_retries=False)
    started = time.perf_counter()
    try:
        posted = _post(ledger, batch)
    except LedgerError as refusal:
        told = {REFUSED: type(refusal).__name__} | _overtaken(ledger, batch)
        raise Failure(str(refusal), metadata=told, allow_retries=False) from refusal
    seconds = time.perf_counter() - started
    batch, totals, history = ledger.in_transaction(
        lambda connection: (
            read_batch(connection, batch.batch_id),
            rows(connection, "ledger/totals_by_fund", batch_id=batch.batch_id),
            rows(connection, "ledger/posted_batches", period=period),
        )
    )
    return MaterializeResult(
        metadata={
            "batch": batch.batch_id,
            "outcome": "posted" if posted else "nothing new: posted before",
            "entries": batch.entry_count or 0,
            "lines": batch.line_count or 0,
            "numbers": f"{batch.first_je_number:,} to {batch.last_je_number:,}" if batch.last_je_number else "none",
            "posting_seconds": round(seconds, 4),
            "totals_by_fund": table(totals),
            "debits_by_fund": bars({row["fund"]: row["debit"] for row in totals}),
            "batches_of_the_period": table(history),
        }
    )


def _overtaken(ledger: LedgerResource, batch: Batch) -> dict[str, bool]:
    """Whether it was refused because another run stages the batch again."""
    now = ledger.in_transaction(lambda connection: read_batch(connection, batch.batch_id))
    return {NO_INCIDENT: True} if now.state == "PROCESSING" or now.attempt != batch.attempt else {}


def _post(ledger: LedgerResource, batch: Batch) -> bool:
    """Post the batch; False when it was posted before. A try of ours whose confirmation got lost is not "before"."""
    tries = []

    def post(connection: psycopg.Connection) -> None:
        with connection.transaction():  # around its own, so that the answer is noted before the commit
            tries.append(
                post_batch(connection, batch.batch_id, first_period=ledger.the_first_period, performed_by=ledger.actor)
            )

    ledger.in_transaction(post)
    return any(tries)
