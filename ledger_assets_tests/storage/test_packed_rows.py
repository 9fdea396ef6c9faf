"""Packed columns give back the rows that lie in the table."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from ledger_assets.storage.packed_rows import read

SCHEMA = pl.Schema({"n": pl.Int32, "small": pl.Int16, "big": pl.Int64, "day": pl.Date, "text": pl.String})
PACKED = sql.SQL(
    "SELECT count(*), string_agg(int4send(n), ''), string_agg(int2send(small), ''), string_agg(int8send(big), ''), "
    "string_agg(date_send(coalesce(day, '-infinity')), ''), "
    "convert_to(coalesce(string_agg(text, ''), ''), 'UTF8'), "
    "string_agg(int4send(coalesce(octet_length(text), -1)), '') "
    "FROM pg_temp.rows GROUP BY n / {}"
)

Row = tuple[Any, ...]
SOME_ROWS = st.lists(
    st.tuples(
        st.integers(-(2**31), 2**31 - 1),
        st.integers(-(2**15), 2**15 - 1),
        st.integers(-(2**63), 2**63 - 1),
        st.none() | st.dates(),
        st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
    ),
    max_size=12,
)


def stored_and_read(connection: psycopg.Connection, rows: Sequence[Row], per_block: int) -> pl.DataFrame:
    with connection.transaction(force_rollback=True), connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE rows (n int, small smallint, big bigint, day date, text text)")
        cursor.executemany("INSERT INTO pg_temp.rows VALUES (%s, %s, %s, %s, %s)", rows)
        return read(connection, PACKED.format(per_block), SCHEMA, order=["n", "small", "big"])


def test_rows_come_back_in_order(ledger: psycopg.Connection) -> None:
    @settings(deadline=None, max_examples=60)
    @given(SOME_ROWS, st.sampled_from([1, 3, 8192]))
    def come_back(rows: list[Row], per_block: int) -> None:
        found = stored_and_read(ledger, rows, per_block)
        assert found.schema == SCHEMA
        keys = [row[:3] for row in found.rows()]
        assert keys == sorted(keys)
        assert sorted(found.rows(), key=repr) == sorted(rows, key=repr)

    come_back()


def test_a_block_that_lacks_a_value_is_refused(ledger: psycopg.Connection) -> None:
    with pytest.raises(AssertionError, match="2 rows were announced, 1 came"):
        stored_and_read(ledger, [(1, 1, 1, date(2025, 1, 1), "a"), (2, None, 2, None, "b")], 8192)
