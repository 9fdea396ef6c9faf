"""The balances of a month out of PostgreSQL, by the routes that `accounting/balances.py` compares."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import psycopg

from ledger_assets.accounting.balances import AccountBalance, Balances
from ledger_assets.storage.archived_rows import line_frames
from ledger_assets.storage.database import statement


def read_balances(connection: psycopg.Connection, period: str, archive: Path | None = None) -> Balances:
    """Snapshot, month before, and the posted lines re-added (reads every line of the month); minor units.

    The lines of an archived month are those of its files below `archive`. Raises ArchiveMissing, ArchiveAltered.
    """
    accounts = connection.execute(statement("snapshot/balances_with_lines"), {"period": period}).fetchall()
    funds = connection.execute(statement("ledger/fund_closings"), {"period": period}).fetchall()
    archived = _archived_sums(connection, period, archive)
    return Balances(
        accounts=[_balance(row, archived.get(row[0], (0, 0))) for row in accounts],
        funds={fund: int(minor) for fund, minor in funds},
    )


def _balance(row: tuple[Any, ...], archived: tuple[int, int]) -> AccountBalance:
    balance = AccountBalance(*row[:4], *(int(minor) for minor in row[4:]))
    debit, credit = archived
    return replace(balance, line_debit=balance.line_debit + debit, line_credit=balance.line_credit + credit)


def _archived_sums(connection: psycopg.Connection, period: str, archive: Path | None) -> dict[str, tuple[int, int]]:
    """Account code -> debits and credits of the archived lines; nothing for a month that is in the database."""
    amount = pl.col("amount").cast(pl.Int128)
    debit, credit = amount.filter(amount > 0).sum(), amount.filter(amount < 0).sum()
    frames = [
        frame.group_by("account_id").agg(debit=debit, credit=credit)
        for frame in line_frames(connection, archive, [period])
    ]
    if not frames:
        return {}
    codes = {number: code for number, code, _, _ in connection.execute(statement("seal/chart")).fetchall()}
    sums = pl.concat(frames).group_by("account_id").agg(pl.col("debit", "credit").sum())
    return {codes[account]: (int(debits), -int(credited)) for account, debits, credited in sums.iter_rows()}
