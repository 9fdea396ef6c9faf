"""What the business systems delivered for the month: loads, each a leaf of `source.txn_source` (B1)."""

from dagster import AssetExecutionContext, MaterializeResult, asset

from ledger_assets.metadata import table
from ledger_assets.periods import MONTHS
from ledger_assets.resources import LedgerResource
from ledger_assets.storage.inbox import ingest_inbox
from ledger_assets.storage.reading import rows
from ledger_assets.visible import visible


@asset(
    partitions_def=MONTHS, group_name="source", kinds={"csv", "parquet", "postgres"}, owners=["team:data-engineering"]
)
def txn_source(context: AssetExecutionContext, ledger: LedgerResource) -> MaterializeResult[None]:
    """Validated transactions of the month, pre-split into fund components.

    Files arrive by `ledger-assets ingest`, or lie in the inbox (`$LEDGER_HOME/inbox/<period>/`, with an optional
    `mapping.toml`) and are taken in here. A file that was loaded before changes nothing. Refused rows are kept in
    `source.rejected_row` with their reasons.
    """
    period = context.partition_key
    for load in ingest_inbox(ledger.database_url, ledger.settings, period, loaded_by=ledger.actor):
        context.log.info("%s", visible(str(load)))
    loads, totals = ledger.in_transaction(
        lambda connection: (
            rows(connection, "source/loads_of_period", period=period),
            rows(connection, "source/totals_of_period", period=period),
        )
    )
    return MaterializeResult(
        metadata={
            "loads": len(loads),
            "transactions": sum(int(row["transactions"]) for row in totals),
            "refused_rows": sum(row["rejected"] for row in loads if row["posted_in"] != "withdrawn"),
            "totals_by_type": table(totals),
            "loads_of_the_month": table(loads),
        }
    )
