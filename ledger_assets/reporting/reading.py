"""What the papers of a month are made of, out of the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from ledger_assets.accounting.masking import COMMON_CHANNELS
from ledger_assets.accounting.waiting_rules import WaitingVersion
from ledger_assets.reporting.close_report import PAST, CloseReport
from ledger_assets.storage.balances import read_balances
from ledger_assets.storage.certificates import latest
from ledger_assets.storage.database import in_transaction, statement
from ledger_assets.storage.reading import rows
from ledger_assets.storage.rules import waiting
from ledger_assets.storage.statements import read_figures, require_closed


def read(connection: psycopg.Connection, period: str, archive: Path | None = None) -> CloseReport:
    """Gather the figures of a month, in one snapshot so that they tie even while somebody posts.

    Reads every line of the month, those of an archived one from its files below `archive`. The connection must be
    outside of a transaction: this one is its own, read-only.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        batches = rows(connection, "reporting/batches", period=period)
        balances = read_balances(connection, period, archive)
        month = rows(connection, "reporting/month", period=period)[0]
        figures = read_figures(connection, period, balances)
        before = figures.previous_period
        return CloseReport(
            month=month,
            batches=batches,
            verdicts=rows(connection, "control/gates", period=period),
            deliveries=rows(connection, "source/loads_of_period", period=period),
            source=rows(connection, "reporting/source_totals", period=period),
            funds=rows(connection, "ledger/fund_balances", period=period),
            trial_balance=rows(connection, "reporting/trial_balance", period=period),
            balances=balances,
            exceptions=[
                {"batch_id": batch["batch_id"], **row}
                for batch in batches
                if batch["state"] not in PAST
                for row in rows(connection, "control/open_exceptions", batch_id=batch["batch_id"])
            ],
            refusals=rows(connection, "reporting/refused_rows", period=period),
            late=rows(connection, "period/late", period=period),
            closes=rows(connection, "period/closes", period=period),
            changes=rows(connection, "period/differences", period=period),
            figures=figures,
            products=rows(connection, "reporting/products", period=period, channels=list(COMMON_CHANNELS)),
            timing=rows(connection, "reporting/timing", period=period),
            waiting_rules=_waiting_rules(connection, month, batches),
            batches_before=rows(connection, "reporting/batches", period=before) if before else (),
            source_before=rows(connection, "reporting/source_totals", period=before) if before else (),
        )


def _waiting_rules(
    connection: psycopg.Connection, month: Mapping[str, Any], batches: Sequence[Mapping[str, Any]]
) -> list[WaitingVersion]:
    """The versions that waited for approval when the month was closed, and still wait; of an open month, that wait."""
    names = sorted({batch["rule_set"] for batch in batches if batch["state"] not in PAST})
    found = [version for name in names if (version := waiting(connection, name, month["period"]))]
    return [one for one in found if one.changes and (not month["closed_at"] or one.stored_at <= month["closed_at"])]


def add_up_products(connection: psycopg.Connection, period: str) -> None:
    """Add the posted loads of the month up by product and channel, if nobody has: one scan of each load, once.

    Wants the engine's rights, and a transaction in READ COMMITTED of its own before `read`.
    """
    connection.execute(statement("reporting/total_by_product"), {"period": period})


def read_closed(url: str, period: str, archive: Path | None = None) -> CloseReport:
    """The report of a closed month as its close made it, with the certificate that this close has, if it has one.

    Raises StatementError for a month that is not closed.
    """
    in_transaction(url, lambda connection: require_closed(connection, period))
    in_transaction(url, lambda connection: add_up_products(connection, period))
    return in_transaction(url, lambda connection: _certified(connection, read(connection, period, archive)))


def _certified(connection: psycopg.Connection, report: CloseReport) -> CloseReport:
    certificate = latest(connection, report.period)
    closes = [close["close_number"] for close in report.closes]
    if certificate is None or certificate["certificate"]["close_number"] != max(closes, default=1):
        return report
    return replace(report, certificate=certificate)
