"""What people ask of the books, each by one statement in sql/queries (docs/queries.md has the plans).

Here: the questions whose answer must stay quick however large the ledger grows, and what is done for it after a close.
Not here: the trial balance (`snapshot/trial_balance`), which is a statement like these and was there before.
"""

from functools import partial
from typing import Any, Final, NamedTuple

import psycopg

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.storage.database import in_transaction, statement
from ledger_assets.storage.reading import rows

PAGE: Final = 100
"""Lines of an account that are shown at once."""


class Place(NamedTuple):
    """A line's place in its month: the entry's number and the line's. Lines are read in this order."""

    je_number: int
    line_number: int


BEGINNING = Place(0, 0)


class UnknownAccountError(LedgerError):
    """The chart of accounts has no such code."""


def fund_statement(connection: psycopg.Connection, period: str, fund: str) -> list[dict[str, Any]]:
    """Opening balance, the accounts that changed it, closing balance; they add up. Empty: it has no balance."""
    return rows(connection, "queries/fund_statement", period=period, fund=fund)


def account_lines(
    connection: psycopg.Connection, period: str, account_code: str, *, after: Place = BEGINNING, page: int = PAGE
) -> list[dict[str, Any]]:
    """The next `page` lines of an account in a month, in the order of the entries. Raises UnknownAccountError.

    Two statements, because PostgreSQL plans the second by how many lines the account has, for which it must know which
    account it is.
    """
    return rows(
        connection,
        "queries/account_lines",
        period=period,
        account_id=account(connection, account_code)["account_id"],
        after_entry=after.je_number,
        after_line=after.line_number,
        page=page,
    )


def account(connection: psycopg.Connection, account_code: str) -> dict[str, Any]:
    """The account with its fund. Raises UnknownAccountError."""
    found = rows(connection, "queries/account", account_code=account_code)
    if not found:
        raise UnknownAccountError(account_code, "there is no such account", "acct.chart_of_accounts lists them")
    return found[0]


def entry(connection: psycopg.Connection, period: str, je_number: int) -> list[dict[str, Any]]:
    """One entry, a row for each line with the header's columns; empty when there is none with that number."""
    return rows(connection, "queries/entry", period=period, je_number=je_number)


def explain_balance(connection: psycopg.Connection, period: str, account_code: str) -> list[dict[str, Any]]:
    """What the balance is made of: the month before, each posted batch; `amount` adds up to the closing balance."""
    return rows(connection, "queries/explain_balance", period=period, account_code=account_code)


def explain_entry(connection: psycopg.Connection, period: str, je_number: int) -> list[dict[str, Any]]:
    """Each line of an entry with the expression and the version of the rules that made it, and its transaction."""
    return rows(connection, "queries/explain_entry", period=period, je_number=je_number)


def prepare_for_readers(url: str, period: str) -> int:
    """Statistics and indexes of the month's posted rows; returns for how many workers. Safe to repeat and to kill.

    No part of the close: the answers are the same before it and after, and so are the books. One transaction for each
    worker, so that nobody who wants to roll the batch back waits for all of them.
    """
    workers = in_transaction(url, lambda connection: rows(connection, "queries/posted_workers", period=period))
    prepared = sum(in_transaction(url, partial(_prepare, worker=worker)) for worker in workers)
    in_transaction(url, lambda connection: connection.execute(statement("queries/refresh_statistics")))
    return prepared


def _prepare(connection: psycopg.Connection, worker: dict[str, Any]) -> bool:
    found = connection.execute(statement("queries/prepare_for_readers"), worker).fetchone()
    return found is not None and bool(found[0])
