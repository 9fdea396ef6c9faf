"""Pre-flight as checks on the delivered data: what has to hold before anything is staged (A2)."""

from collections.abc import Iterator

from dagster import AssetCheckExecutionContext, AssetCheckResult, multi_asset_check

from ledger_assets.accounting.preflight import PREFLIGHT_CHECKS
from ledger_assets.checks.results import blocking_specs, result
from ledger_assets.periods import MONTHS
from ledger_assets.resources import LedgerResource
from ledger_assets.storage.preflight import preflight

ASSET = "txn_source"


@multi_asset_check(name="preflight_controls", specs=blocking_specs(ASSET, PREFLIGHT_CHECKS, MONTHS))
def preflight_controls(context: AssetCheckExecutionContext, ledger: LedgerResource) -> Iterator[AssetCheckResult]:
    """Look at what was reported and announced, and at the server; staging waits for all of it."""
    verdicts = preflight(
        ledger.database_url, context.partition_key, data=ledger.data_directory, performed_by=ledger.actor
    )
    for verdict in verdicts:
        yield result(ASSET, verdict)
