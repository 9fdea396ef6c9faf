"""What Polars and sqlglot do, as far as accounting/ relies on it. A red test here means: read the code that relies
on it before upgrading.
"""

import polars as pl
import pytest

LARGEST = 2**63 - 1


def _one(expression: pl.Expr, **columns: object) -> object:
    return pl.DataFrame({name: [value] for name, value in columns.items()}).select(expression).item()


def test_int64_arithmetic_wraps_silently() -> None:
    assert _one(pl.col("a") + 1, a=LARGEST) == -(2**63)
    assert _one(pl.col("a") * 2, a=LARGEST) == -2
    assert _one(pl.col("a").abs(), a=-(2**63)) == -(2**63)
    assert pl.Series([LARGEST, 1]).sum() == -(2**63)


def test_int128_arithmetic_wraps_silently_too() -> None:
    product = pl.col("a").cast(pl.Int128) * pl.lit(10**37, pl.Int128)
    assert _one(product, a=LARGEST) != LARGEST * 10**37


def test_int128_products_are_exact_within_their_range() -> None:
    assert _one(pl.col("a").cast(pl.Int128) * pl.lit(10**18, pl.Int128), a=LARGEST) == LARGEST * 10**18


def test_strict_cast_from_int128_raises_with_the_text_that_overflow_raises_looks_for() -> None:
    with pytest.raises(pl.exceptions.InvalidOperationError, match="conversion from `i128` to `i64` failed"):
        _one((pl.col("a").cast(pl.Int128) + 1).cast(pl.Int64), a=LARGEST)


def test_integer_division_floors() -> None:
    assert _one(pl.col("a").cast(pl.Int128) // pl.lit(3, pl.Int128), a=-5) == -2


def test_horizontal_sum_skips_nulls_but_plus_does_not() -> None:
    frame = pl.DataFrame({"a": [1], "b": [None]}, schema={"a": pl.Int64, "b": pl.Int64})
    assert frame.select(pl.sum_horizontal("a", "b")).item() == 1
    assert frame.select(pl.col("a") + pl.col("b")).item() is None
