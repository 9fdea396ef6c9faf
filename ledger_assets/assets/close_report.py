"""The paper of the close: one page a month for those who answer for the books (A14, B8)."""

from dataclasses import replace

import psycopg
from dagster import AssetExecutionContext, Failure, MaterializeResult, MetadataValue, asset

from ledger_assets.accounting.certificate import CertificateError, fingerprint, signer
from ledger_assets.periods import MONTHS
from ledger_assets.reporting.close_report import CloseReport, amount, read, write
from ledger_assets.resources import LedgerResource
from ledger_assets.storage.books import prepare_for_readers
from ledger_assets.storage.certificates import Issued, issue
from ledger_assets.visible import in_markdown

NOT_CERTIFIED = "not_certified"
"""Metadata key of the failure of a month whose certificate was refused; the command line makes exit code 2 of it."""


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

    A closed month gets its certificate first: the balances, added up again from the posted lines by another engine,
    and signed. When they differ, the page says so and the run fails. Last, the posted rows get the statistics and
    indexes by which queries find them quickly (docs/queries.md).
    """
    report, certificate, refusal = ledger.in_transaction(
        lambda connection: _read_and_certify(connection, ledger, context.partition_key)
    )
    path = write(ledger.settings.home, report)
    if refusal:
        raise Failure(
            str(refusal),
            metadata={NOT_CERTIFIED: type(refusal).__name__, "fix": refusal.fix, "path": MetadataValue.path(path)},
            allow_retries=False,
        ) from refusal
    return MaterializeResult(
        metadata={
            **_certified(certificate),
            "prepared_for_readers": _prepare_for_readers(context, ledger),
            "path": MetadataValue.path(path),
            "status": report.status,
            "entries": report.entry_count,
            "lines": report.line_count,
            "open_points": len(report.open_points),
            "summary": MetadataValue.md(_summary(report)),
        }
    )


def _read_and_certify(
    connection: psycopg.Connection, ledger: LedgerResource, period: str
) -> tuple[CloseReport, Issued | None, CertificateError | None]:
    report = read(connection, period, ledger.settings.archive)
    if not report.is_closed:
        return report, None, None
    try:
        certificate = issue(connection, ledger.settings, period, performed_by=ledger.actor)
    except CertificateError as refusal:
        return replace(report, certificate_refusal=str(refusal)), None, refusal
    return replace(report, certificate=certificate.document), certificate, None


def _prepare_for_readers(context: AssetExecutionContext, ledger: LedgerResource) -> str:
    """The month is closed and certified whatever becomes of this; without it, queries read more than they need."""
    try:
        workers = prepare_for_readers(ledger.database_url, context.partition_key)
    except psycopg.Error as fault:
        context.log.warning("the month is closed, but not prepared for quick queries: %s", fault)
        return f"no: {fault}"
    return f"statistics and indexes of {workers} workers"


def _certified(certificate: Issued | None) -> dict[str, MetadataValue | str]:
    if certificate is None:
        return {}
    return {
        "certificate": MetadataValue.path(certificate.path),
        "certificate_sha256": str(certificate.document["sha256"]),
        "certificate_signed_with": fingerprint(signer(certificate.document)),
    }


def _summary(report: CloseReport) -> str:
    """The trial balance by fund, and what is open."""
    table = ["| fund | opening | debit | credit | closing |", "| :-- | --: | --: | --: | --: |"]
    for fund in [*report.accounts_by_fund, report.all_accounts]:
        balances = (fund.opening_balance, fund.debit, fund.credit, fund.closing_balance)
        table.append(f"| {in_markdown(fund.fund)} | {' | '.join(amount(balance) for balance in balances)} |")
    points = [f"- {in_markdown(point)}" for point in report.open_points] or [
        "In order: every gate passed, every figure ties."
    ]
    return "\n".join([*table, "", *points])
