"""Source rows out of PostgreSQL, as the frame that the expansion takes."""

import io

import polars as pl
import psycopg
from psycopg import sql

from ledger_assets.accounting.posting import TRANSACTIONS
from ledger_assets.storage.database import statement


def read_slice(
    connection: psycopg.Connection, period: str, load_id: int, first_row_number: int, last_row_number: int
) -> pl.DataFrame:
    """A range of rows of one load, in the order of their file; amounts in minor units (Int64)."""
    query = sql.SQL(statement("source/read_slice")).format(
        period=period, load_id=load_id, first_row_number=first_row_number, last_row_number=last_row_number
    )
    buffer = io.BytesIO()
    # COPY … CSV, because Polars parses it on all cores: faster than rows, and with no driver of its own.
    with connection.cursor().copy(sql.SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(query)) as copy:
        for block in copy:
            buffer.write(block)
    if buffer.tell() == 0:
        return TRANSACTIONS.to_frame()
    buffer.seek(0)
    frame = pl.read_csv(buffer, has_header=False, schema=TRANSACTIONS, empty_string_is_null=False)
    return frame if frame["row_number"].is_sorted() else frame.sort("row_number")
