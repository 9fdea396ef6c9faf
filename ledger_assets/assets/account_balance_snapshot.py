"""Balances at the end of the month, rolled forward from the month before (B4)."""

from dagster import AssetExecutionContext, Failure, MaterializeResult, asset

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.assets.preflight import preflight_failure
from ledger_assets.metadata import bars, table
from ledger_assets.periods import MONTHS
from ledger_assets.resources import LedgerResource
from ledger_assets.storage.batches import PreflightFailed, take_snapshot
from ledger_assets.storage.periods import differences
from ledger_assets.storage.reading import rows


@asset(
    deps=["ledger_entries"],
    partitions_def=MONTHS,
    group_name="ledger",
    kinds={"postgres"},
    owners=["team:finance-operations"],
)
def account_balance_snapshot(context: AssetExecutionContext, ledger: LedgerResource) -> MaterializeResult[None]:
    """Opening balance, debits, credits and closing balance of every account; taking them closes the month.

    Opening is the closing of the month before, so a month waits until that one is closed (the first month of the
    books starts from zero). Debit balances are positive, credit balances negative. Also shown: what each fund owns
    over what it owes (`ledger.fund_balance`).
    """
    period = context.partition_key
    try:
        accounts = ledger.in_transaction(
            lambda connection: take_snapshot(
                connection, period, first_period=ledger.the_first_period, performed_by=ledger.actor
            )
        )
    except PreflightFailed as refusal:
        raise preflight_failure(refusal) from refusal
    except LedgerError as refusal:
        raise Failure(str(refusal), allow_retries=False) from refusal
    funds, balances, changes = ledger.in_transaction(
        lambda connection: (
            rows(connection, "ledger/fund_balances", period=period),
            rows(connection, "snapshot/trial_balance", period=period),
            differences(connection, period),
        )
    )
    return MaterializeResult(
        metadata={
            "accounts": accounts,
            "fund_balances": table(funds),
            "fund_balances_chart": bars({row["fund"]: row["closing_balance"] for row in funds}),
            "trial_balance": table(balances),
            "changed_by_the_last_close": table(changes),
        }
    )
