"""Rows out of PostgreSQL by the million: a few messages of packed columns instead of one message a row.

A statement packs its columns itself (`string_agg(int8send(amount), '')`), block by block; here they become Polars
columns again without Python looking at a value. One row a message costs the client 0.5 microseconds and the
interpreter's lock, which the writers need.
"""

import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import polars as pl
import psycopg
import pyarrow as pa
from psycopg import sql

_DAYS_BEFORE_2000: Final = 10_957
"""From 1970-01-01 to the day from which PostgreSQL counts."""
_MINUS_INFINITY: Final = -(2**31)

_KINDS: Final[dict[type[pl.DataType], tuple[str, pa.DataType]]] = {
    pl.Int16: ("h", pa.int16()),
    pl.Int32: ("i", pa.int32()),
    pl.Int64: ("q", pa.int64()),
}


def read(
    connection: psycopg.Connection, query: sql.Composed, schema: pl.Schema, *, order: Sequence[str]
) -> pl.DataFrame:
    """The rows of a statement that packs the columns of the schema, sorted by the columns of `order`.

    The first column of the statement's result is the number of rows of a block. Then there is for each column of the
    schema: of integers and dates, the values as their send functions write them, one after the other, `-infinity` for a
    date that is null; of texts, all of them with nothing in between, and their lengths in bytes (int4, -1 for a null).
    """
    with connection.cursor(binary=True) as cursor:
        packed = cursor.execute(query).fetchall()
    if not packed:
        return schema.to_frame()
    # A block is a range of the first key, so the blocks sorted by where they begin are usually the rows sorted. They
    # are joined before they become columns: Polars takes longer for a call than for what it does to a block.
    packed.sort(key=_first_value(schema, order[0]))
    counts, *columns = zip(*packed, strict=True)
    frame = _frame(sum(counts), map(b"".join, columns), schema)
    return frame if _is_sorted(frame, order) else frame.sort(order)


def blocks(connection: psycopg.Connection, query: sql.Composed, schema: pl.Schema) -> Iterator[pl.DataFrame]:
    """The blocks of `read`, in whatever order they come."""
    with connection.cursor(binary=True) as cursor:
        for count, *packed in cursor.execute(query):
            yield _frame(count, iter(packed), schema)


def _first_value(schema: pl.Schema, key: str) -> Callable[[Sequence[Any]], int]:
    """Reads the first value of an integer column from a block as it came."""
    before = list(schema.values())[: schema.names().index(key)]
    place = 1 + sum(2 if kind == pl.String else 1 for kind in before)
    width = array(_KINDS[type(schema[key])][0]).itemsize
    return lambda block: int.from_bytes(block[place][:width], "big", signed=True)


def _frame(count: int, packed: Iterator[bytes], schema: pl.Schema) -> pl.DataFrame:
    return pl.DataFrame({name: _column(kind, packed, count) for name, kind in schema.items()})


def _is_sorted(frame: pl.DataFrame, order: Sequence[str]) -> bool:
    """Whether no row comes before the one that it follows: a sort of millions of sorted rows costs half a second."""
    falls, ties = pl.lit(value=False), pl.lit(value=True)
    for name in order:
        falls |= ties & (pl.col(name) < pl.col(name).shift())
        ties &= pl.col(name) == pl.col(name).shift()
    return not frame.select(falls.any()).item()


def _column(kind: pl.DataType, values: Iterator[bytes], count: int) -> pl.Series:
    if kind == pl.String:
        return _texts(next(values), _integers(pl.Int32, next(values), count))
    if kind == pl.Date:
        days = _integers(pl.Int32, next(values), count)
        return (days.set(days == _MINUS_INFINITY, None).cast(pl.Int64) + _DAYS_BEFORE_2000).cast(pl.Date)
    return _integers(type(kind), next(values), count)


def _integers(kind: type[pl.DataType], packed: bytes, count: int) -> pl.Series:
    code, arrow = _KINDS[kind]
    values = array(code, packed)
    if len(values) != count:
        raise AssertionError(f"{count} rows were announced, {len(values)} came")
    if sys.byteorder == "little":
        values.byteswap()
    return pl.Series(pa.Array.from_buffers(arrow, count, [None, pa.py_buffer(values)]))


def _texts(packed: bytes, lengths: pl.Series) -> pl.Series:
    ends = lengths.clip(0).cast(pl.Int64).cum_sum()
    if ends[-1] != len(packed):
        raise AssertionError(f"texts of {ends[-1]} bytes were announced, {len(packed)} came")
    _, starts_and_end = pl.Series([0], dtype=pl.Int64).append(ends).rechunk().to_arrow().buffers()
    texts = pl.Series(pa.LargeStringArray.from_buffers(len(lengths), starts_and_end, pa.py_buffer(packed)))
    is_null = lengths < 0
    return texts.set(is_null, None) if is_null.any() else texts
