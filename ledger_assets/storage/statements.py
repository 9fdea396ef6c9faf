"""The figures that the statements of a month are made of, out of PostgreSQL."""

from typing import Any

import psycopg

from ledger_assets.accounting.balances import Balances
from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.statement_figures import AccountFigures, MonthFigures
from ledger_assets.storage.database import statement
from ledger_assets.storage.reading import rows


class StatementError(LedgerError):
    """A month that has no statements."""


def read_figures(connection: psycopg.Connection, period: str, balances: Balances | None = None) -> MonthFigures:
    """The balances of a month with those to compare with. Reads snapshots and control totals, no line.

    Without a snapshot of the month there are no accounts. `balances` brings the posted lines, where they were added up.
    Read-only roles may ask for it: finance_viewer, batch_admin, auditor.
    """
    (known,) = rows(connection, "reporting/statement_month", period=period)
    accounts = [_account(row) for row in rows(connection, "reporting/statement_accounts", period=period)]
    funds = connection.execute(statement("ledger/fund_closings"), {"period": period}).fetchall()
    return MonthFigures(
        period=period,
        accounts=accounts if known["since"] else [],
        since=known["since"] or period,
        previous_period=known["previous_period"],
        previous_year_end=known["previous_year_end"],
        funds={fund: int(minor) for fund, minor in funds},
        line_debit=sum(account.line_debit for account in balances.accounts) if balances else None,
        line_credit=sum(account.line_credit for account in balances.accounts) if balances else None,
    )


def read_closed_figures(connection: psycopg.Connection, period: str) -> MonthFigures:
    """As `read_figures`, of a closed month. Raises StatementError for any other."""
    require_closed(connection, period)
    return read_figures(connection, period)


def require_closed(connection: psycopg.Connection, period: str) -> None:
    """Raises StatementError for a month that is not closed: its balances are not final."""
    (known,) = rows(connection, "reporting/statement_month", period=period)
    if not known["is_closed"]:
        raise StatementError(period, "it has no statements: it is not closed", f"run ledger-assets close {period}")


_AMOUNTS = frozenset({"opening", "debit", "credit", "carried", "previous_month", "year_to_date", "previous_year_end"})


def _account(row: dict[str, Any]) -> AccountFigures:
    whole = {name: int(row[name]) for name in _AMOUNTS if row[name] is not None}
    return AccountFigures(**{**row, **whole})
