"""The papers of the close, for those who answer for the books (A14, B8): page, PDF, workbook, statements."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import psycopg
from dagster import AssetExecutionContext, Failure, MaterializeResult, MetadataValue, asset

from ledger_assets.accounting.certificate import CertificateError, fingerprint, signer
from ledger_assets.accounting.money import from_minor
from ledger_assets.accounting.statement_tables import Kind, Statement
from ledger_assets.metadata import bars, table
from ledger_assets.periods import MONTHS
from ledger_assets.reporting.close_report import CloseReport, amount
from ledger_assets.reporting.papers import Written, write_all
from ledger_assets.reporting.reading import add_up_products, read
from ledger_assets.reporting.summary import counted, figure, percent, summarize
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
    kinds={"html", "pdf", "excel"},
    owners=["team:finance-operations"],
)
def close_report(context: AssetExecutionContext, ledger: LedgerResource) -> MaterializeResult[None]:
    """The papers of the month, to be read, filed and printed: one page for the CFO, trial balance, profit and loss,
    balance sheet, fund statements; who closed it, every gate, how the figures tie. As page, PDF, workbook and CSV.

    They hold counts and totals only. What is not in order stands at their top; a month with open points gets its papers
    too, because stopping a close is the business of the checks.

    A closed month gets its certificate first: the balances, added up again from the posted lines by another engine,
    and signed. When they differ, the papers say so and the run fails. Last, the posted rows get the statistics and
    indexes by which queries find them quickly (docs/queries.md). PDF, workbook and CSV, the figures by product, and
    that preparation may fail without undoing anything: then the log has a warning and the metadata say why.
    """
    problems = _add_up_products(context, ledger)
    report, certificate, refusal = ledger.in_transaction(
        lambda connection: _read_and_certify(connection, ledger, context.partition_key)
    )
    written = write_all(ledger.settings.home, report)
    for problem in written.problems.values():
        context.log.warning("the month is as it is, but one of its papers could not be made: %s", problem)
    if refusal:
        raise Failure(
            str(refusal),
            metadata={NOT_CERTIFIED: type(refusal).__name__, "fix": refusal.fix, **_papers(written)},
            allow_retries=False,
        ) from refusal
    return MaterializeResult(
        metadata={
            **_certified(certificate),
            "prepared_for_readers": _prepare_for_readers(context, ledger),
            **_papers(written),
            **problems,
            "status": report.status,
            "entries": report.entry_count,
            "lines": report.line_count,
            "open_points": len(report.open_points),
            "summary": MetadataValue.md(_summary(report)),
            **_figures(report),
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


def _add_up_products(context: AssetExecutionContext, ledger: LedgerResource) -> dict[str, str]:
    """Without them the papers have no figures by product and channel; everything else is as it is."""
    try:
        ledger.in_transaction(lambda connection: add_up_products(connection, context.partition_key))
    except psycopg.Error as fault:
        context.log.warning("the papers have no figures by product and channel: %s", fault)
        return {"products_not_added_up": str(fault)}
    return {}


def _prepare_for_readers(context: AssetExecutionContext, ledger: LedgerResource) -> str:
    """The month is closed and certified whatever becomes of this; without it, queries read more than they need."""
    try:
        workers = prepare_for_readers(ledger.database_url, context.partition_key)
    except psycopg.Error as fault:
        context.log.warning("the month is closed, but not prepared for quick queries: %s", fault)
        return f"no: {fault}"
    return f"statistics and indexes; workers: {workers}"


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


def _papers(written: Written) -> dict[str, Any]:
    """Where the papers lie, and which could not be made."""
    paths: Mapping[str, MetadataValue] = {
        "path" if name == "html" else name.replace("-", "_") + ("_csv" if path.suffix == ".csv" else ""):
            MetadataValue.path(path)
        for name, path in written.paths.items()
    }  # fmt: skip
    failed = "\n".join(f"- {in_markdown(problem)}" for problem in written.problems.values())
    return {**paths, **({"papers_not_made": MetadataValue.md(failed)} if failed else {})}


def _figures(report: CloseReport) -> dict[str, Any]:
    """The statements as tables, the key figures exactly, and as floats, which the UI plots over the months."""
    summary = summarize(report)
    if not report.figures.accounts:
        return {}
    head = ["| figure | month | month before |", "| :-- | --: | --: |"]
    exact = [f"| {in_markdown(f.label)} | {figure(f.now)} | {figure(f.before)} |" for f in summary.all_figures]
    exact += [f"| {in_markdown(c.label)} | {counted(c.now)} | {counted(c.before)} |" for c in summary.counts]
    exact.append(f"| {summary.ratio.label} | {percent(summary.ratio.now)} | {percent(summary.ratio.before)} |")
    results = {f"result_{fund}": f.now for fund, f in zip(report.figures.fund_names, summary.results, strict=False)}
    plotted = {"contributions": summary.flows[0].now, "claims": summary.flows[1].now, **results}
    return {
        "key_figures": MetadataValue.md("\n".join([*head, *exact])),
        # A float is what the UI draws a line of; the figure itself stands in key_figures.
        **{name: MetadataValue.float(minor / 100) for name, minor in plotted.items() if minor is not None},
        **{name.replace("-", "_"): _statement(made) for name, made in report.statements.items()},
        "fund_movements": _movements(report),
    }


def _statement(made: Statement) -> Any:
    records = [
        {
            "line": line.label,
            "accounts": " ".join(line.account_codes),
            **{
                column: amount(from_minor(minor)) if minor is not None else ""
                for column, minor in zip(made.columns, line.amounts or [None] * len(made.columns), strict=True)
            },
        }
        for line in made.lines
        if line.kind is not Kind.HEADING or line.fund
    ]
    return table(records, shown=len(records))


def _movements(report: CloseReport) -> MetadataValue:
    """The movements of the funds as bars of text: the UI shows no image that is not somewhere on a server."""
    flows = ("opening_balance", "income", "expense", "closing_balance")
    return bars({f"{fund['fund']} {flow.split('_')[0]}": fund[flow] for fund in report.funds for flow in flows})
