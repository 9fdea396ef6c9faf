"""Checks on the balances: they balance, they continue the month before, and they are those of the lines (B4)."""

from collections.abc import Iterator

from dagster import AssetCheckExecutionContext, AssetCheckResult, Failure, multi_asset_check

from ledger_assets.accounting.balances import CONTROLS
from ledger_assets.accounting.errors import LedgerError
from ledger_assets.checks.results import blocking_specs, result
from ledger_assets.periods import MONTHS
from ledger_assets.resources import LedgerResource
from ledger_assets.storage.balances import read_balances

ASSET = "account_balance_snapshot"

DESCRIPTIONS = {
    "debits_equal_credits": "Debits equal credits in every fund, and every fund's closing balances add up to nothing.",
    "opening_equals_previous_closing": "Every account opens with the balance that it closed the month before with.",
    "snapshot_equals_lines": "The balances are those of the posted lines, added up again.",
    "fund_balances_agree": "Each fund's assets less liabilities are the balance that the postings moved it to.",
    "interfund_balances_mirror": "What one fund owes another is what the other is owed.",
}


@multi_asset_check(
    name="balance_controls",
    specs=blocking_specs(ASSET, {name: DESCRIPTIONS[name] for name in CONTROLS}, MONTHS),
)
def balance_controls(context: AssetCheckExecutionContext, ledger: LedgerResource) -> Iterator[AssetCheckResult]:
    """Read snapshot, lines and fund balances and compare them; the lines of an archived month come from its files."""
    archive = ledger.settings.archive
    try:
        balances = ledger.in_transaction(lambda connection: read_balances(connection, context.partition_key, archive))
    except LedgerError as fault:  # a file of the archive is gone or altered: of the balances nothing can be said
        raise Failure(str(fault), allow_retries=False) from fault
    for control in CONTROLS.values():
        yield result(ASSET, control(balances))
