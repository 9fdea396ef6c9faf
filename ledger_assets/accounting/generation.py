"""Test data (A11): any number of plausible transactions from a seed, and the file that holds them.

Here: the generator and the writer. Not here: the ways to be wrong (defects) and the controls that find them.

Every value of a row is computed from (seed, period, row index) by a counter-based generator in unsigned integer
columns, so the rows do not depend on how they are cut into chunks, and ten million of them take the memory of one
chunk. Money is computed in minor units; there is no float anywhere.
"""

import calendar
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import IO, Final

import polars as pl
import pyarrow.parquet as pq

from ledger_assets.accounting.amounts import VARIABLES as AMOUNTS
from ledger_assets.accounting.defects import DEFECTS, PREVIOUS_TXN_ID, Defect
from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.money import MINOR_PER_MAJOR, split_expr

__all__ = ["CHANNELS", "DEFECTS", "PRODUCTS", "Defect", "generate", "write"]

PRODUCTS: Final = ("HYBRID-LIFE-001", "FAMILY-001", "MEDICAL-001", "MOTOR-001")
CHANNELS: Final = ("AGENCY", "BANCA", "BROKER", "DIGITAL", "DIRECT")

_SHARES: Final = (Decimal("0.40"), Decimal("0.40"), Decimal("0.20"))
_CONTRIBUTION: Final = (500_000 * MINOR_PER_MAJOR, 5_000_000 * MINOR_PER_MAJOR)
_CLAIM: Final = (100_000 * MINOR_PER_MAJOR, 20_000_000 * MINOR_PER_MAJOR)
_CLAIMS_PER_100: Final = 15
_POLICIES: Final = 1_000_000
_DAYS_TO_VALUE: Final = 4
"""The bank's value date follows the transaction by 0 to 3 days, sometimes over the end of the month before."""

_DEFECT_EVERY: Final = 1000
"""A defect hits one row in so many, and at least one row."""

_TWO_TO_64: Final = 2**64


def generate(
    period: str, rows: int, seed: int, defects: Sequence[str] = (), *, chunk_rows: int = 500_000
) -> Iterator[pl.DataFrame]:
    """Yield the transactions of a month, in chunks.

    About 85 % are contributions of 500,000 to 5,000,000, the others claims; both are split 40/40/20 into tabarru',
    tanahud and ujroh with the remainder on ujroh. Ids are unique over periods and seeds: `TXN-202501-7-000000001` is
    row 1 of seed 7.

    Args:
        period: the month, `YYYY-MM`.
        rows: how many transactions, 0 or more.
        seed: any whole number from 0. The same seed gives the same rows, whatever `chunk_rows` is.
        defects: names from `DEFECTS`. Each hits one row in 1,000 (at least one), no row is hit by two.
        chunk_rows: rows per frame; bounds the memory, about 200 bytes a row.

    Yields:
        Frames of the twelve source columns, at least one, amounts as Decimal(18, 2) in major units. A defect that no
        typed column can hold (`bad_number`, `too_many_decimals`, ...) makes its columns text, in every chunk.

    Raises:
        LedgerError: an unknown defect, or too few rows to hold the defects.
        ValueError: a period that is no month, or a negative number.
    """
    first_day = date.fromisoformat(f"{period}-01")
    if rows < 0 or seed < 0:
        raise ValueError(f"rows and seed must be 0 or more, not {rows} and {seed}")
    chosen = _chosen(defects, rows)
    return (
        _with_defects(_rows(first_day, seed, start, min(start + chunk_rows, rows)), chosen, rows)
        for start in range(0, max(rows, 1), chunk_rows)
    )


def write(frames: Iterable[pl.DataFrame], path: Path, defects: Sequence[str] = ()) -> int:
    """Write frames to a CSV or Parquet file, whole or not at all.

    Args:
        frames: of one schema, at least one.
        path: the ending `.csv` or `.parquet` decides the format. An existing file is replaced.
        defects: those of them that damage the file are applied to it (`truncated`, `bad_encoding`, ...).

    Returns:
        The number of rows written.

    Raises:
        LedgerError: another ending, or a defect that this format cannot have.
        OSError: the file cannot be written.
    """
    writers = {".csv": _write_csv, ".parquet": _write_parquet}
    if path.suffix not in writers:
        raise LedgerError(str(path), "the ending decides the format", "let the name end in .csv or .parquet")
    damages = [damage for name in defects if (damage := _defect(name).damage)]
    # Hidden and in the same directory: a watching sensor does not see it, and the rename is atomic.
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        with unfinished.open("wb") as file:
            rows = writers[path.suffix](frames, file)
        for damage in damages:
            damage(unfinished)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()
    return rows


def _write_csv(frames: Iterable[pl.DataFrame], file: IO[bytes]) -> int:
    rows = 0
    for number, frame in enumerate(frames):
        frame.write_csv(file, include_header=number == 0)
        rows += frame.height
    return rows


def _write_parquet(frames: Iterable[pl.DataFrame], file: IO[bytes]) -> int:
    rows = 0
    writer: pq.ParquetWriter | None = None
    for frame in frames:
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        writer = writer or pq.ParquetWriter(file, table.schema, compression="zstd", write_page_checksum=True)
        writer.write_table(table)
        rows += frame.height
    if writer is not None:
        writer.close()
    return rows


def _rows(first_day: date, seed: int, start: int, stop: int) -> pl.DataFrame:
    """The good rows with index `start` to `stop - 1`, and the id of the row before each."""
    index = pl.int_range(start, stop, dtype=pl.UInt64, eager=True)
    amount_draw, detail_draw = (_draws(index, seed, first_day, stream) for stream in (1, 2))
    days = calendar.monthrange(first_day.year, first_day.month)[1]
    choices = _digits(
        detail_draw,
        kind=100,
        product=len(PRODUCTS),
        channel=len(CHANNELS),
        day=days,
        lag=_DAYS_TO_VALUE,
        policy=_POLICIES,
    )
    drawn = pl.DataFrame([index.alias("index"), amount_draw.alias("amount"), *choices])
    is_claim = pl.col("kind") < _CLAIMS_PER_100
    gross = pl.when(is_claim).then(_between(_CLAIM)).otherwise(_between(_CONTRIBUTION)).cast(pl.Int64)
    value_date = pl.lit(first_day) + pl.duration(days=pl.col("day"))
    prefix = f"TXN-{first_day:%Y%m}-{seed}-"
    return drawn.with_columns(gross=gross).select(
        txn_id=_numbered(prefix, pl.col("index") + 1, 9),
        txn_type=pl.when(is_claim).then(pl.lit("CLAIM")).otherwise(pl.lit("PREMIUM")),
        policy_id=_numbered("POL-", pl.col("policy"), 8),
        product_code=pl.lit(pl.Series(PRODUCTS)).gather(pl.col("product")),
        channel=pl.lit(pl.Series(CHANNELS)).gather(pl.col("channel")),
        txn_date=value_date - pl.duration(days=pl.col("lag")),
        bank_value_date=value_date,
        currency=pl.lit("IDR"),
        **{
            name: _major(minor)
            for name, minor in zip(AMOUNTS, [pl.col("gross"), *split_expr(pl.col("gross"), _SHARES, 2)], strict=True)
        },
        index="index",
        **{PREVIOUS_TXN_ID: _numbered(prefix, pl.col("index"), 9)},
    )


def _draws(index: pl.Series, seed: int, first_day: date, stream: int) -> pl.Series:
    """64 even bits for each row: splitmix64 of a counter. Unsigned arithmetic wraps round, as it is meant to."""
    key = _mix_int(_mix_int(_mix_int(seed) + first_day.toordinal()) + stream)
    state = index * 0x9E3779B97F4A7C15 + key
    state = (state ^ (state // 2**30)) * 0xBF58476D1CE4E5B9
    state = (state ^ (state // 2**27)) * 0x94D049BB133111EB
    return state ^ (state // 2**31)


def _mix_int(state: int) -> int:
    """The same for one number; only the key of a stream is made with it."""
    state = (state * 0x9E3779B97F4A7C15 + 1) % _TWO_TO_64
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % _TWO_TO_64
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB % _TWO_TO_64
    return state ^ (state >> 31)


def _digits(draws: pl.Series, **bases: int) -> list[pl.Series]:
    """Cut each draw into independent small numbers, one from 0 to base - 1 for each name."""
    columns = []
    for name, base in bases.items():
        columns.append((draws % base).alias(name))
        draws = draws // base
    return columns


def _between(bounds: tuple[int, int]) -> pl.Expr:
    """The drawn amount within bounds, both included, in minor units."""
    return bounds[0] + pl.col("amount") % (bounds[1] - bounds[0] + 1)


def _numbered(prefix: str, number: pl.Expr, digits: int) -> pl.Expr:
    return pl.lit(prefix) + number.cast(pl.String).str.zfill(digits)


def _major(minor: pl.Expr) -> pl.Expr:
    """Exact: a product of decimals keeps the scale, and minor units times 0.01 have two decimals."""
    return (minor.cast(pl.Decimal(38, 2)) * pl.lit(Decimal("0.01"))).cast(pl.Decimal(18, 2))


def _defect(name: str) -> Defect:
    if name not in DEFECTS:
        raise LedgerError(f"defect {name!r}", "there is no such defect", f"choose from {', '.join(DEFECTS)}")
    return DEFECTS[name]


def _chosen(defects: Sequence[str], rows: int) -> list[Defect]:
    chosen = [_defect(name) for name in dict.fromkeys(defects)]
    if rows < 2 * len(chosen):
        raise LedgerError(
            f"{rows} rows", f"{len(chosen)} defects need {2 * len(chosen)} rows or more", "generate more rows"
        )
    return chosen


def _with_defects(good: pl.DataFrame, defects: list[Defect], rows: int) -> pl.DataFrame:
    """Spoil the rows that the defects hit; text comes last, since no arithmetic is possible after it."""
    frame = good
    every = min(_DEFECT_EVERY, rows)
    by_lateness = sorted(enumerate(defects), key=lambda numbered: bool(numbered[1].as_text))
    for number, defect in by_lateness:
        frame = frame.with_columns(pl.col(name).cast(pl.String) for name in defect.as_text)
        # Odd positions: the row before one that is hit is always good, which a duplicate of its id relies on.
        hit = pl.col("index") % every == 2 * number + 1
        frame = frame.with_columns(
            pl.when(hit).then(value).otherwise(pl.col(name)).alias(name) for name, value in defect.changes.items()
        )
    dropped = {name for defect in defects for name in defect.drops}
    return frame.drop("index", PREVIOUS_TXN_ID, *dropped)
