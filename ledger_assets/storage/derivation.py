"""Balances added up again from the posted lines, by another engine than the one that keeps them (E7).

PostgreSQL hands over the lines as they lie in the leaves, and nothing that it added up itself; DuckDB adds them. The
two share neither the arithmetic nor the control totals. DuckDB's sums of BIGINT and HUGEINT are exact, or they raise.

The lines come leaf by leaf: what is in memory does not grow with the month.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import psycopg
from psycopg import sql

from ledger_assets.accounting.certificate import CertificateError
from ledger_assets.accounting.rederivation import Derivation, DerivedBalance
from ledger_assets.storage.archived_rows import ArchiveAltered, line_frames
from ledger_assets.storage.database import statement
from ledger_assets.storage.packed_rows import blocks

if TYPE_CHECKING:
    import duckdb

_MOVEMENTS = pl.Schema({"account_id": pl.Int16, "amount": pl.Int64})


def derive(
    connection: psycopg.Connection, periods: Sequence[str], openings: Mapping[str, int], archive: Path | None = None
) -> Derivation:
    """Add up the posted lines of the months on top of the openings (account code -> minor units).

    The lines of archived months come from their files below `archive`.

    With all months of the books and no openings it re-derives the closing balances from nothing but lines. Raises
    CertificateError for a leaf of lines that belongs to no posted batch, and for an altered file; ArchiveMissing
    for one that is not there.
    """
    import duckdb  # noqa: PLC0415 (a month that stops at a gate does without it; lasting.py wants it late)

    with duckdb.connect() as engine:
        engine.execute(statement("derivation/tables"))
        chart = connection.execute(statement("certificate/chart")).fetchall()
        _fill(engine, "account", chart)
        _fill(engine, "opening", [(account, str(amount)) for account, amount in openings.items()])
        for schema, name, batch_id in connection.execute(
            statement("certificate/line_leaves"), {"periods": list(periods)}
        ).fetchall():
            if batch_id is None:
                raise CertificateError(
                    f"{schema}.{name}",
                    "it hangs in the ledger and belongs to no posted batch",
                    "find out who attached it; nothing is certified beside it",
                )
            leaf = sql.Identifier(schema, name)
            for block in blocks(connection, sql.SQL(statement("certificate/read_lines")).format(leaf=leaf), _MOVEMENTS):
                _add(engine, block)
        try:
            for block in line_frames(connection, archive, periods):
                _add(engine, block)
        except ArchiveAltered as fault:
            raise CertificateError(fault.culprit, fault.rule, fault.fix) from fault
        balances = [DerivedBalance(*row) for row in engine.execute(statement("derivation/balances")).fetchall()]
        lines = engine.execute("SELECT coalesce(sum(lines), 0) FROM movement").fetchall()[0][0]
    return Derivation(balances, int(lines))


def _add(engine: "duckdb.DuckDBPyConnection", block: pl.DataFrame) -> None:
    engine.register("block", block)
    engine.execute(statement("derivation/add_block"))


def _fill(engine: "duckdb.DuckDBPyConnection", table: str, rows: Sequence[tuple[object, ...]]) -> None:
    if rows:
        engine.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)  # noqa: S608 (ours)
