"""What a team would otherwise do, on the same server, from the same source rows to the same headers and lines.

Each way posts the first so many transactions of the loaded month into a ledger of its own, and has to come to the
totals per account that our close came to.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

import psycopg
from psycopg import sql

from ledger_assets.bench.alternatives_in_python import post_by_dataframe, post_by_orm
from ledger_assets.bench.close import PERIOD
from ledger_assets.storage.database import connect, statement

INSTALL: Final = "pip install -c constraints.txt -e '.[bench]'"


@dataclass(frozen=True)
class Alternative:
    """One way to post.

    Attributes:
        name: what it is.
        most: transactions that it can bear in tolerable time; None for all of them.
        post: is given the connection's URL, the rule set and how many transactions.
        needs: the package that has to be installed.
    """

    name: str
    most: int | None
    post: Callable[[str, str, int], None]
    needs: str | None = None


def compare(
    administrator_url: str, rule_set: str, transactions: int, closing_s: float, announce: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Post by each alternative; how fast it was, and how long all transactions would take at that speed.

    Args:
        administrator_url: a database in which the month is loaded and posted by our own close.
        rule_set: `combined` or `three_entries`.
        transactions: how many are loaded.
        closing_s: what our close took, for the factor.
        announce: is told what begins.

    Raises:
        RuntimeError: an alternative came to other entries or totals than the close.
    """
    with connect(administrator_url, autocommit=True) as connection:
        connection.execute(statement("bench/alternative_templates"))
    compared = []
    for alternative in ALTERNATIVES:
        announce(f"compare: {alternative.name}")
        if alternative.needs and find_spec(alternative.needs) is None:
            compared.append({"name": alternative.name, "not_measured": f"{alternative.needs} is missing: {INSTALL}"})
        else:
            compared.append(_measured(administrator_url, alternative, rule_set, transactions, closing_s))
    return compared


def _measured(url: str, alternative: Alternative, rule_set: str, transactions: int, closing_s: float) -> dict[str, Any]:
    posted = min(transactions, alternative.most or transactions)
    with connect(url, autocommit=True) as connection:
        connection.execute(statement("bench/alternative_ledger"))
        started = time.perf_counter()
        alternative.post(url, rule_set, posted)
        seconds = time.perf_counter() - started
        entries, lines = _agreed(connection, alternative)
        connection.execute("DROP TABLE alternative.header, alternative.line")
    whole = seconds * transactions / posted
    return {
        "name": alternative.name,
        "transactions": posted,
        "entries": entries,
        "lines": lines,
        "seconds": round(seconds, 3),
        "transactions_per_s": round(posted / seconds),
        "lines_per_s": round(lines / seconds),
        "rows_per_s": round((entries + lines) / seconds),
        "all_transactions_s": round(whole, 3),
        "is_extrapolated": posted < transactions,
        "times_our_close": round(whole / closing_s, 1),
    }


def _agreed(connection: psycopg.Connection, alternative: Alternative) -> tuple[int, int]:
    """How many entries and lines there are, if they are those of our close."""
    (entries,) = connection.execute(statement("bench/alternative_entries")).fetchall()
    totals = connection.execute(statement("bench/alternative_totals")).fetchall()
    until = {"period": PERIOD, "last_number": entries[1]}
    (own_entries,) = connection.execute(statement("bench/own_entries"), until).fetchall()
    own_totals = connection.execute(statement("bench/own_totals"), until).fetchall()
    if (entries, totals) != (own_entries, own_totals):
        other = set(totals) ^ set(own_totals)
        raise RuntimeError(
            f"{alternative.name} and our close disagree: entries (count, last number, debit, credit) {entries} and "
            f"{own_entries}; accounts (lines, debit, credit) {sorted(map(str, other)) or 'the same'}"
        )
    return entries[0], sum(lines for _, _, lines, _, _ in totals)


def _post_by_loop(url: str, rule_set: str, transactions: int) -> None:
    with connect(url) as connection:
        connection.execute(statement("bench/alternative_loop"))
        connection.execute("SELECT alternative.post_by_loop(%s, %s, %s)", [rule_set, PERIOD, transactions])


def _post_by_sets(url: str, rule_set: str, transactions: int) -> None:
    filled = sql.SQL(statement("bench/alternative_sets")).format(
        period=PERIOD, rule_set=rule_set, how_many=transactions
    )
    with connect(url) as connection:
        connection.execute(filled)


ALTERNATIVES: Final = (
    Alternative("PL/pgSQL loop, transaction by transaction", 100_000, _post_by_loop),
    Alternative("set-based INSERT ... SELECT through staging tables", None, _post_by_sets),
    Alternative("SQLAlchemy ORM, bulk_save_objects of 1,000", 20_000, post_by_orm, needs="sqlalchemy"),
    Alternative("pandas to_sql", 50_000, post_by_dataframe, needs="pandas"),
)
