"""Checks on what was delivered, before anything is journaled from it."""

from collections.abc import Iterator

from dagster import AssetCheckExecutionContext, AssetCheckResult, multi_asset_check

from ledger_assets.accounting.deliveries import loads_intact, rejected_rows_resolved
from ledger_assets.checks.results import blocking_specs, result
from ledger_assets.metadata import ROWS_SHOWN
from ledger_assets.periods import MONTHS
from ledger_assets.resources import LedgerResource
from ledger_assets.storage.deliveries import read_deliveries
from ledger_assets.storage.reading import rows

ASSET = "txn_source"

DESCRIPTIONS = {
    "loads_intact": "Every load that is not posted yet holds the rows that were loaded: same count, same checksum.",
    "rejected_rows_resolved": "No refused row is open: each was corrected, withdrawn with its load, or acknowledged.",
}


@multi_asset_check(name="delivery_controls", specs=blocking_specs(ASSET, DESCRIPTIONS, MONTHS))
def delivery_controls(context: AssetCheckExecutionContext, ledger: LedgerResource) -> Iterator[AssetCheckResult]:
    """Read the stored rows and the refused ones in PostgreSQL and compare them with what was recorded."""
    period = context.partition_key
    deliveries, refused = ledger.in_transaction(
        lambda connection: (
            read_deliveries(connection, period),
            rows(connection, "source/first_open_rejections", period=period, limit=ROWS_SHOWN),
        )
    )
    yield result(ASSET, loads_intact(deliveries.loads))
    yield result(ASSET, rejected_rows_resolved(deliveries.open_rejections), refused)
