"""Source rows out of PostgreSQL, as the frame that the expansion takes."""

import io

import polars as pl
import psycopg
from psycopg import sql

from ledger_assets.storage.database import statement

TRANSACTION_SCHEMA = pl.Schema(
    {
        "load_id": pl.Int32,
        "row_number": pl.Int32,
        "txn_id": pl.String,
        "txn_type": pl.String,
        "policy_id": pl.String,
        "product_code": pl.String,
        "channel": pl.String,
        "txn_date": pl.Date,
        "bank_value_date": pl.Date,
        "currency": pl.String,
        "gross_amount": pl.Int64,
        "tabarru_amount": pl.Int64,
        "tanahud_amount": pl.Int64,
        "ujroh_amount": pl.Int64,
    }
)


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
        return TRANSACTION_SCHEMA.to_frame()
    buffer.seek(0)
    frame = pl.read_csv(buffer, has_header=False, schema=TRANSACTION_SCHEMA, empty_string_is_null=False)
    return frame if frame["row_number"].is_sorted() else frame.sort("row_number")
