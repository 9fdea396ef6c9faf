"""The paper of the close: one page a month for those who answer for the books (A14, B8)."""

from dagster import AssetExecutionContext, MaterializeResult, MetadataValue, asset

from ledger_assets.periods import MONTHS
from ledger_assets.reporting.close_report import CloseReport, amount, read, write
from ledger_assets.resources import LedgerResource


@asset(
    deps=["account_balance_snapshot"],
    partitions_def=MONTHS,
    group_name="reports",
    kinds={"html"},
    owners=["team:finance-operations"],
)
def close_report(context: AssetExecutionContext, ledger: LedgerResource) -> MaterializeResult[None]:
    """The month as a page to be read, filed and printed: who closed it, every gate, every balance, how the figures tie.

    It holds counts and totals only. What is not in order stands at its top; a month with open points gets its page
    too, because stopping a close is the business of the checks.
    """
    report = ledger.in_transaction(lambda connection: read(connection, context.partition_key))
    path = write(ledger.settings.home, report)
    return MaterializeResult(
        metadata={
            "path": MetadataValue.path(path),
            "status": report.status,
            "entries": report.entry_count,
            "lines": report.line_count,
            "open_points": len(report.open_points),
            "summary": MetadataValue.md(_summary(report)),
        }
    )


def _summary(report: CloseReport) -> str:
    """The trial balance by fund, and what is open."""
    table = ["| fund | opening | debit | credit | closing |", "| :-- | --: | --: | --: | --: |"]
    for fund in [*report.accounts_by_fund, report.all_accounts]:
        balances = (fund.opening_balance, fund.debit, fund.credit, fund.closing_balance)
        table.append(f"| {fund.fund} | {' | '.join(amount(balance) for balance in balances)} |")
    points = [f"- {point}" for point in report.open_points] or ["In order: every gate passed, every figure ties."]
    return "\n".join([*table, "", *points])
