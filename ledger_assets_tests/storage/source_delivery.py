"""Small deliveries for the tests of loads, and ways to look at what became of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, LiteralString

import polars as pl
import psycopg
from psycopg.rows import dict_row

from ledger_assets.accounting.generation import generate, write
from ledger_assets.accounting.source_mapping import SourceMapping
from ledger_assets.storage.source_loads import LoadResult, ingest

BLOCK_BYTES = 16_000
"""As the size of a CSV block it makes a file of a few hundred rows come in several batches, as real ones do."""


def january(
    folder: Path, name: str = "january.csv", rows: int = 300, seed: int = 1, defects: tuple[str, ...] = ()
) -> Path:
    """A generated file."""
    path = folder / name
    write(generate("2025-01", rows, seed, defects), path, defects)
    return path


def rewritten(path: Path, name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Path:
    """A copy of a CSV file with changed text."""
    other = path.with_name(name)
    change(pl.read_csv(path, infer_schema=False)).write_csv(other)
    return other


def at_rows(column: str, value: str, *numbers: int) -> pl.Expr:
    """For `rewritten`: another value in some rows of a column, counted from 1."""
    number = pl.int_range(1, pl.len() + 1)
    return pl.when(number.is_in(numbers)).then(pl.lit(value)).otherwise(column).alias(column)


def load(ledger: psycopg.Connection, path: Path, **options: Any) -> LoadResult:
    """Ingest with what most tests do not care about."""
    defaults: dict[str, Any] = {
        "period": "2025-01", "mapping": SourceMapping(), "currency": "IDR", "loaded_by": "tester",
    }  # fmt: skip
    return ingest(ledger, path, **(defaults | options))


def rows_of(ledger: psycopg.Connection, query: LiteralString, *arguments: Any) -> list[dict[str, Any]]:
    """The rows of a query as dicts."""
    with ledger.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, arguments or None).fetchall()


def value_of(ledger: psycopg.Connection, query: LiteralString, *arguments: Any) -> Any:
    """The one value of a query."""
    ((value,),) = ledger.execute(query, arguments or None).fetchall()
    return value


def everything(ledger: psycopg.Connection) -> dict[str, list[dict[str, Any]]]:
    """All that the source holds, to compare a before and an after."""
    tables = rows_of(
        ledger,
        "SELECT oid::regclass::text AS name FROM pg_class "
        "WHERE relnamespace = 'source'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1",
    )
    return {table["name"]: rows_of(ledger, f"SELECT * FROM {table['name']} AS t ORDER BY t::text") for table in tables}
