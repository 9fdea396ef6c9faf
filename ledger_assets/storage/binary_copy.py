"""Polars frames into PostgreSQL tables by binary COPY, encoded by pgpq."""

import polars as pl
import psycopg
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg import sql

ROWS_PER_BLOCK = 65_536


def copy_frame(cursor: psycopg.Cursor, table: sql.Composable, frame: pl.DataFrame, *, freeze: bool = False) -> None:
    """Append a frame to a table, matching columns by name.

    Binary COPY converts nothing: the frame's types must be the table's own (Int64 for bigint, Int32 for integer,
    Int16 for smallint, String for text, Date for date, Decimal for numeric). `freeze` asks that the table was created
    in this transaction; its rows then need no later vacuum.
    """
    arrow = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    encoder = ArrowToPostgresBinaryEncoder(arrow.schema)
    command = sql.SQL("COPY {table} ({columns}) FROM STDIN (FORMAT binary{freeze})").format(
        table=table,
        columns=sql.SQL(", ").join(map(sql.Identifier, frame.columns)),
        freeze=sql.SQL(", FREEZE" if freeze else ""),
    )
    with cursor.copy(command) as copy:
        copy.write(encoder.write_header())
        for block in arrow.to_batches(max_chunksize=ROWS_PER_BLOCK):
            copy.write(encoder.write_batch(block))
        copy.write(encoder.finish())
