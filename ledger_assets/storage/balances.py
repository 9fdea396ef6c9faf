"""The balances of a month out of PostgreSQL, by the routes that `accounting/balances.py` compares."""

import psycopg

from ledger_assets.accounting.balances import AccountBalance, Balances
from ledger_assets.storage.database import statement


def read_balances(connection: psycopg.Connection, period: str) -> Balances:
    """Snapshot, month before, and the posted lines re-added (reads every line of the month); minor units."""
    accounts = connection.execute(statement("snapshot/balances_with_lines"), {"period": period}).fetchall()
    funds = connection.execute(statement("ledger/fund_closings"), {"period": period}).fetchall()
    return Balances(
        accounts=[AccountBalance(*row[:4], *(int(minor) for minor in row[4:])) for row in accounts],
        funds={fund: int(minor) for fund, minor in funds},
    )
