"""The tables behind `source.txn_source`: a month, and a leaf per load.

Here: how a leaf comes into being, is indexed, attached, and dropped; which locks that takes and in which order. Not
here: what is loaded and why (source_loads).

Every function runs inside the caller's transaction, which holds the lock of the period.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from ledger_assets.storage.database import statement

_INDEXES = ("source/index_bank_value_date", "source/index_row_number", "source/index_product_channel")


@dataclass(frozen=True)
class Leaf:
    """A leaf by what it holds: the accepted rows of one load."""

    period: str
    load_id: int

    @property
    def month_name(self) -> str:
        """The table above it, in the schema `source`."""
        return f"txn_source_{self.period.replace('-', '_')}"

    @property
    def name(self) -> str:
        """Its table, in the schema `source`."""
        return f"{self.month_name}_load_{self.load_id}"

    @property
    def table(self) -> sql.Identifier:
        """Its table as SQL."""
        return sql.Identifier("source", self.name)

    def sql(self, name: str) -> sql.Composed:
        """A statement about it; the placeholders are leaf, month, period, load_id, first_day and first_day_after."""
        first_day = date.fromisoformat(f"{self.period}-01")
        return sql.SQL(statement(name)).format(
            leaf=self.table,
            month=sql.Identifier("source", self.month_name),
            period=self.period,
            load_id=self.load_id,
            first_day=first_day.isoformat(),
            first_day_after=(first_day + timedelta(days=31)).replace(day=1).isoformat(),
        )


def create(connection: psycopg.Connection, leaf: Leaf) -> None:
    """Make the table, apart from the others and with nothing but its checks: the fastest thing to COPY into."""
    connection.execute(leaf.sql("source/create_leaf"))


def index(connection: psycopg.Connection, leaf: Leaf) -> None:
    """Index a filled leaf; a txn_id that it has twice is taken out to the rejected rows first."""
    try:
        with connection.transaction():
            connection.execute(leaf.sql("source/index_txn_id"))
    except psycopg.errors.UniqueViolation:
        # The index found it for nothing: searching every file for what hardly any has would cost a pass over its rows.
        connection.execute(leaf.sql("source/reject_repeated"))
        connection.execute(leaf.sql("source/index_txn_id"))
    for name in _INDEXES:
        connection.execute(leaf.sql(name))


def total(connection: psycopg.Connection, leaf: Leaf) -> tuple[list[dict[str, Any]], Decimal]:
    """What PostgreSQL finds in the leaf: a control total per transaction type (as in `source.load_total`), and the
    checksum of all rows."""
    with connection.cursor(row_factory=dict_row) as cursor:
        totals = cursor.execute(leaf.sql("source/total_leaf")).fetchall()
    checksum = sum((row.pop("checksum") for row in totals), Decimal(0))
    return [{**row, "load_id": leaf.load_id} for row in totals], checksum


def attach(connection: psycopg.Connection, leaf: Leaf) -> None:
    """Make the leaf part of its month, and the month if it is the first; no row is read.

    Comes late in the transaction: until it ends, nobody can attach to the same month, or start another month.
    """
    if not _exists(connection, leaf.month_name):
        connection.execute(leaf.sql("source/create_month"))
        _guard(connection, leaf.month_name, is_leaf=False)
        connection.execute(leaf.sql("source/attach_month"))
    _guard(connection, leaf.name, is_leaf=True)
    connection.execute(leaf.sql("source/attach_leaf"))


def drop(connection: psycopg.Connection, names: Mapping[str, str]) -> None:
    """Detach and drop a leaf that `lock` has locked."""
    connection.execute(sql.SQL(statement("source/drop_leaf")).format(leaf=_qualified(names["leaf"])))


def lock(connection: psycopg.Connection, names: Mapping[str, str]) -> None:
    """Wait for everybody who reads the leaf, and keep newcomers out.

    The month before the leaf, as every query locks them, so that nobody waits for us while we wait for him.

    Args:
        connection: in a transaction.
        names: `leaf` and `month`, each with its schema.
    """
    tables = {key: _qualified(name) for key, name in names.items()}
    connection.execute(sql.SQL(statement("source/lock_leaf")).format(**tables))


def _exists(connection: psycopg.Connection, name: str) -> bool:
    row = connection.execute(statement("source/table_exists"), {"name": f"source.{name}"}).fetchone()
    return bool(row and row[0])


def _guard(connection: psycopg.Connection, name: str, *, is_leaf: bool) -> None:
    """Notice and refuse later changes; after the COPY, which so pays nothing for it."""
    connection.execute(statement("source/guard_table"), {"the_table": f"source.{name}", "is_leaf": is_leaf})


def _qualified(name: str) -> sql.Identifier:
    return sql.Identifier(*name.split("."))
