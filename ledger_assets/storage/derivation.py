"""Balances added up again from the posted lines, by another engine than the one that keeps them (E7).

PostgreSQL hands over the lines as they lie in the leaves, and nothing that it added up itself; DuckDB adds them. The
two share neither the arithmetic nor the control totals. DuckDB's sums of BIGINT and HUGEINT are exact, or they raise.

The lines come in blocks of ten thousand entries: what is in memory does not grow with the month.
"""

import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence

import duckdb
import psycopg
import pyarrow as pa
from psycopg import sql

from ledger_assets.accounting.certificate import CertificateError
from ledger_assets.accounting.rederivation import Derivation, DerivedBalance
from ledger_assets.storage.database import statement


def derive(connection: psycopg.Connection, periods: Sequence[str], openings: Mapping[str, int]) -> Derivation:
    """Add up the posted lines of the months on top of the openings (account code -> minor units).

    With all months of the books and no openings it re-derives the closing balances from nothing but lines. Raises
    CertificateError for a leaf of lines that belongs to no posted batch.
    """
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
            for block in _blocks(connection, sql.Identifier(schema, name)):
                engine.register("block", block)
                engine.execute(statement("derivation/add_block"))
        balances = [DerivedBalance(*row) for row in engine.execute(statement("derivation/balances")).fetchall()]
        lines = engine.execute("SELECT coalesce(sum(lines), 0) FROM movement").fetchall()[0][0]
    return Derivation(balances, int(lines))


def _fill(engine: duckdb.DuckDBPyConnection, table: str, rows: Sequence[tuple[object, ...]]) -> None:
    if rows:
        engine.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)  # noqa: S608 (ours)


def _blocks(connection: psycopg.Connection, leaf: sql.Identifier) -> Iterator[pa.Table]:
    query = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(
        sql.SQL(statement("certificate/read_lines")).format(leaf=leaf)
    )
    with connection.cursor().copy(query) as copy:
        copy.set_types(["int8", "bytea", "bytea"])
        for count, accounts, amounts in copy.rows():
            yield pa.table({
                "account_id": _column(pa.int16(), "h", accounts, count),
                "amount": _column(pa.int64(), "q", amounts, count),
            })  # fmt: skip


def _column(kind: pa.DataType, code: str, packed: bytes, count: int) -> pa.Array:
    """A column out of big-endian integers, without looking at one of them in Python."""
    values = array(code, packed)
    if len(values) != count:
        raise AssertionError(f"{count} lines were announced, {len(values)} came")
    if sys.byteorder == "little":
        values.byteswap()
    return pa.Array.from_buffers(kind, count, [None, pa.py_buffer(values)])
