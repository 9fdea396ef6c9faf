"""The five gates between staging and the commit (A4)."""

from collections.abc import Iterator

from dagster import AssetCheckExecutionContext, AssetCheckResult, multi_asset_check

from ledger_assets.accounting.gates import GATES
from ledger_assets.assets.overtaken import overtaken_told
from ledger_assets.checks.results import blocking_specs, nothing_to_check, result
from ledger_assets.periods import MONTHS
from ledger_assets.resources import LedgerResource
from ledger_assets.storage.batches import latest_batch
from ledger_assets.storage.validation import validate

ASSET = "staged_journal_entries"

DESCRIPTIONS = {
    "record_count": "Every source transaction is journaled exactly once, no exception is open, and no entry was "
    "changed by hand.",
    "sequence_integrity": "Entry numbers run on from the last posted one, without gap or duplicate.",
    "debit_credit_balance": "Debits equal credits in every entry, in every fund of it, and in the batch.",
    "fund_reconciliation": "Each source component adds up to the lines of its fund; due-to and due-from mirror; "
    "every account is known and open.",
    "source_unchanged": "The source rows are those that were loaded: same count, same checksum.",
}


@multi_asset_check(
    name="gates_before_commit",
    specs=blocking_specs(ASSET, {name: DESCRIPTIONS[name] for name in GATES}, MONTHS),
)
def gates_before_commit(context: AssetCheckExecutionContext, ledger: LedgerResource) -> Iterator[AssetCheckResult]:
    """Read the staged rows in PostgreSQL, judge them, and let the batch pass or fail as a whole."""
    batch = ledger.in_transaction(lambda connection: latest_batch(connection, context.partition_key))
    if batch is None or batch.state == "COMMITTED":
        yield from nothing_to_check(ASSET, GATES, "nothing is staged: everything that arrived is posted")
        return
    with overtaken_told():
        gates = validate(ledger.database_url, batch, performed_by=ledger.actor)
    for gate in gates:
        yield result(ASSET, gate.verdict, gate.offending, subject=f"{batch.batch_id}, attempt {batch.attempt}")
