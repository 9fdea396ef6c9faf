"""The check on the posted entries: they are what was sealed (E2)."""

from collections.abc import Iterator

from dagster import AssetCheckExecutionContext, AssetCheckResult, AssetCheckSeverity, AssetKey, multi_asset_check

from ledger_assets.checks.results import blocking_specs
from ledger_assets.metadata import report_metadata
from ledger_assets.periods import MONTHS
from ledger_assets.resources import LedgerResource
from ledger_assets.storage.verification import verify

ASSET = "ledger_entries"

DESCRIPTIONS = {
    "seals_intact": "The month's posted rows, read again, are those that were sealed, and the chain of seals is whole.",
}


@multi_asset_check(name="seal_controls", specs=blocking_specs(ASSET, DESCRIPTIONS, MONTHS))
def seal_controls(context: AssetCheckExecutionContext, ledger: LedgerResource) -> Iterator[AssetCheckResult]:
    """Read every row of the month's batches and prove it, from its files if it is archived; what could not be looked at
    does not pass.
    """
    # Without the balances: those of a month that is closed again are taken anew after this.
    report = verify(ledger.database_url, context.partition_key, balances=False, archive=ledger.settings.archive)
    yield AssetCheckResult(
        asset_key=AssetKey(ASSET),
        check_name="seals_intact",
        passed=report.exit_code == 0,
        severity=AssetCheckSeverity.ERROR,
        description=report.summary,
        metadata=report_metadata(report),
    )
