"""Take entries back: the same ones once more with debits and credits swapped (A6).

Pure: frames in, frames out. What was booked stays booked; the two together come to nothing, account by account.
"""

from datetime import date

import polars as pl

from ledger_assets.accounting.posting import HEADERS, LINES, Expansion
from ledger_assets.accounting.posting_exceptions import EXCEPTIONS


def reverse(headers: pl.DataFrame, lines: pl.DataFrame, *, first_je_number: int, period: str) -> Expansion:
    """The counter-entries of posted entries, for an open month.

    They keep the order, the template, the source and the line numbers of the originals, and are dated the first day of
    the month; `original_date` is the date of the original entry.

    Args:
        headers: `HEADERS` of the originals, by je_number.
        lines: `LINES` of the originals, by (je_number, line_number); amounts in minor units.
        first_je_number: the number of the first counter-entry; the rest follow without a gap.
        period: the open month, as `2025-01`.
    """
    # Posted numbers have no gap, so one difference moves them all; the gates see to it that they have none here either.
    shift = first_je_number - headers["je_number"].item(0) if headers.height else 0
    number = (pl.col("je_number") + shift).cast(pl.Int32)
    return Expansion(
        headers=headers.with_columns(
            je_number=number,
            original_date=pl.col("je_date"),
            je_date=pl.lit(date.fromisoformat(f"{period}-01")),
            period=pl.lit(period),
        ).select(HEADERS.names()),
        lines=lines.with_columns(amount=-pl.col("amount"), je_number=number, period=pl.lit(period)).select(
            LINES.names()
        ),
        exceptions=EXCEPTIONS.to_frame(),
    )
