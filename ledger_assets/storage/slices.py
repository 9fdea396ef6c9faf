"""Source rows out of PostgreSQL, as the frame that the expansion takes."""

import polars as pl
import psycopg
from psycopg import sql

from ledger_assets.accounting.posting import TRANSACTIONS
from ledger_assets.storage.database import statement
from ledger_assets.storage.packed_rows import read


def read_slice(
    connection: psycopg.Connection, period: str, load_id: int, first_row_number: int, last_row_number: int
) -> pl.DataFrame:
    """A range of rows of one load, in the order of their file; amounts in minor units (Int64)."""
    query = sql.SQL(statement("source/read_slice")).format(
        period=period, load_id=load_id, first_row_number=first_row_number, last_row_number=last_row_number
    )
    return read(connection, query, TRANSACTIONS, order=["row_number"])
