"""Staging: the month's unprocessed transactions become journal entries in leaf tables of their own (A3, B3, B5)."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import psycopg
from dagster import AssetExecutionContext, Failure, MaterializeResult, asset

from ledger_assets.accounting.errors import RuleError
from ledger_assets.accounting.progress import EveryTenth, Progress
from ledger_assets.assets.overtaken import overtaken_told
from ledger_assets.assets.preflight import preflight_failure
from ledger_assets.metadata import table
from ledger_assets.periods import MONTHS
from ledger_assets.resources import LedgerResource
from ledger_assets.storage.batches import Batch, PreflightFailed, open_batch
from ledger_assets.storage.reading import rows
from ledger_assets.storage.rules import StoredRules, usable
from ledger_assets.storage.staging import Staged, WorkersFailed, stage
from ledger_assets.storage.workers import slow_workers


@asset(
    deps=["txn_source", "journal_templates"],
    partitions_def=MONTHS,
    group_name="close",
    kinds={"polars", "postgres"},
    owners=["team:finance-operations"],
)
def staged_journal_entries(context: AssetExecutionContext, ledger: LedgerResource) -> MaterializeResult[None]:
    """Journal entries of the month's unprocessed loads, written but not posted: open to inspection, replaced by the
    next materialization.

    Each transaction is matched to a template of the approved rules and expanded into balanced lines; what cannot be
    goes to `control.exception_queue`. Nothing is staged when everything that arrived is posted. Read the rows in
    `staging.je_header_staging` and `staging.je_line_staging`.
    """
    period = context.partition_key
    try:
        rules = ledger.in_transaction(lambda connection: usable(connection, ledger.the_rule_set))
        batch = ledger.in_transaction(
            lambda connection: open_batch(
                connection,
                period=period,
                rule_set=rules.rule_set.name,
                rule_version=rules.rule_set.version,
                first_period=ledger.the_first_period,
                performed_by=ledger.actor,
                run_id=context.run.run_id,
            )
        )
    except (PreflightFailed, RuleError) as refusal:
        raise preflight_failure(refusal) from refusal
    if batch is None:
        return MaterializeResult(metadata={"outcome": "nothing new: everything that arrived is posted"})
    started = time.perf_counter()
    tenths = EveryTenth()

    def tell(progress: Progress) -> None:
        if tenths.is_due(progress):
            context.log.info("%s: %s", batch.batch_id, progress)

    try:
        with overtaken_told():
            staged = stage(ledger.database_url, batch, rules.compiled(), performed_by=ledger.actor, progress=tell)
    except WorkersFailed as refusal:
        raise Failure(
            str(refusal),
            metadata={"workers": ledger.in_transaction(partial(_workers, batch=batch))},
            allow_retries=False,
        ) from refusal
    if staged.resumed:
        context.log.info("%s: %s", batch.batch_id, staged.resumed)
    return MaterializeResult(metadata=_metadata(context, ledger, batch, rules, staged, time.perf_counter() - started))


def _workers(connection: psycopg.Connection, batch: Batch) -> Any:
    return table(rows(connection, "control/workers", batch_id=batch.batch_id))


def _metadata(
    context: AssetExecutionContext,
    ledger: LedgerResource,
    batch: Batch,
    rules: StoredRules,
    staged: Staged,
    seconds: float,
) -> Mapping[str, Any]:
    keys = {"batch_id": batch.batch_id, "period": batch.period}
    slow = ledger.in_transaction(lambda connection: slow_workers(connection, batch.batch_id))
    for worker in slow:
        context.log.warning("%s: %s", batch.batch_id, worker)
    made = staged.transactions - staged.transactions_kept
    return {
        "batch": f"{batch.batch_id}, attempt {batch.attempt}",
        "rules": rules.rule_set.title,
        "rules_approved_by": rules.approval.approved_by if rules.approval else "no approval needed",
        "transactions": staged.transactions,
        "entries": staged.entries,
        "lines": staged.lines,
        "exceptions": staged.exceptions,
        "seconds": round(seconds, 2),
        "transactions_per_second": round(made / seconds) if seconds else 0,
        **({"resumed": staged.resumed} if staged.resumed else {}),
        **({"workers_done_again": staged.workers_healed} if staged.workers_healed else {}),
        **({"slow_workers": table([asdict(worker) for worker in slow])} if slow else {}),
        **ledger.in_transaction(
            lambda connection: {
                "exceptions_by_reason": table(rows(connection, "control/exceptions_by_reason", **keys)),
                "workers": _workers(connection, batch),
                "sample_of_entries": table(rows(connection, "staging/sample", **keys)),
            }
        ),
    }
