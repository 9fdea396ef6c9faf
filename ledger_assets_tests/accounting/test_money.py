"""Money: conversions are exact or refused, parts add up to the whole, and nothing wraps round silently."""

from collections.abc import Sequence
from decimal import Context, Decimal, localcontext
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_assets.accounting.errors import AmountError, AmountOverflow
from ledger_assets.accounting.money import MAX_MINOR, from_minor, overflow_raises, split, split_expr, to_minor

amounts = st.integers(-MAX_MINOR, MAX_MINOR) | st.integers(-1000, 1000)


@st.composite
def share_lists(draw: st.DrawFn) -> tuple[Decimal, ...]:
    """Shares of 1 to 6 parts, with 0 to 18 decimals, that add up to exactly 1."""
    unit = 10 ** draw(st.integers(0, 18))
    cuts = sorted(draw(st.lists(st.integers(0, unit), max_size=5)))
    edges = [0, *cuts, unit]
    with localcontext(Context(prec=60)):
        return tuple(Decimal(high - low) / unit for low, high in pairwise(edges))


@settings(deadline=None)
@given(amounts)
def test_conversions_are_inverse_whatever_the_decimal_context(minor: int) -> None:
    with localcontext(Context(prec=3)):
        assert to_minor(from_minor(minor)) == minor
        assert to_minor(str(from_minor(minor))) == minor


def test_conversions_by_example() -> None:
    assert to_minor("5000000.05") == 500_000_005
    assert to_minor(Decimal("-0.1")) == -10
    assert to_minor("1.500") == 150
    assert str(from_minor(-5)) == "-0.05"
    assert str(from_minor(0)) == "0.00"


@pytest.mark.parametrize(
    "amount", ["", "1,000.00", "1_000", "1e3", " 1", "١", "NaN", "1.", ".5", Decimal("NaN"), Decimal("-Infinity")]
)
def test_what_is_not_a_plain_number_is_refused(amount: Decimal | str) -> None:
    with pytest.raises(AmountError, match="amount"):
        to_minor(amount)


@pytest.mark.parametrize("amount", [0.1, 1, True, None])
def test_other_types_are_refused(amount: object) -> None:
    with pytest.raises(AmountError, match="finite Decimal or text"):
        to_minor(amount)  # type: ignore[arg-type]


@pytest.mark.parametrize("amount", ["0.005", "1.2345", Decimal("1E-999999999")])
def test_nothing_is_rounded_silently(amount: Decimal | str) -> None:
    with pytest.raises(AmountError, match="at most 2 decimals"):
        to_minor(amount)


@pytest.mark.parametrize("amount", ["92233720368547758.08", "-92233720368547758.08", Decimal("1E+999999999")])
def test_too_large_is_refused(amount: Decimal | str) -> None:
    with pytest.raises(AmountOverflow, match=r"92233720368547758\.07"):
        to_minor(amount)


@settings(deadline=None)
@given(amounts, share_lists(), st.data())
def test_parts_add_up_and_keep_the_sign_of_the_whole(
    total: int, shares: tuple[Decimal, ...], data: st.DataObject
) -> None:
    remainder_on = data.draw(st.integers(0, len(shares) - 1))
    parts = split(total, shares, remainder_on)
    assert sum(parts) == total
    assert all(part * total >= 0 for part in parts)
    assert split(-total, shares, remainder_on) == tuple(-part for part in parts)
    for index, (part, share) in enumerate(zip(parts, shares, strict=True)):
        distance = abs(part * 10**18 - total * int(share * 10**18))
        assert distance < (len(shares) if index == remainder_on else 1) * 10**18


@settings(deadline=None)
@given(st.lists(amounts | st.none(), max_size=8), share_lists(), st.data())
def test_vectorised_split_is_its_row_twin(
    totals: list[int | None], shares: tuple[Decimal, ...], data: st.DataObject
) -> None:
    remainder_on = data.draw(st.integers(0, len(shares) - 1))
    frame = pl.DataFrame({"total": totals}, schema={"total": pl.Int64})
    parts = frame.select(part.alias(str(i)) for i, part in enumerate(split_expr(pl.col("total"), shares, remainder_on)))
    assert set(parts.dtypes) == {pl.Int64}
    nothing = (None,) * len(shares)
    assert parts.rows() == [nothing if t is None else split(t, shares, remainder_on) for t in totals]


def test_split_worked_by_hand() -> None:
    """40/40/20 of 0.99, remainder on the third: 0.396 and 0.396 are cut to 0.39, the third takes 0.21."""
    assert split(99, [Decimal("0.4"), Decimal("0.4"), Decimal("0.2")], remainder_on=2) == (39, 39, 21)


@pytest.mark.parametrize(
    ("shares", "remainder_on", "message"),
    [
        ([Decimal("0.5"), Decimal("0.4")], 0, "add up to exactly 1"),
        ([Decimal("1.5"), Decimal("-0.5")], 0, "between 0 and 1"),
        ([Decimal(1)], 1, "no part 1"),
        ([Decimal(1)], -1, "no part -1"),
        ([], 0, "no part 0"),
        ([Decimal("NaN"), Decimal(1)], 0, "between 0 and 1"),
        ([Decimal("1E-999999999"), Decimal(1)], 0, "at most 18 decimals"),
        ([Decimal("0.0000000000000000001"), Decimal("0.9999999999999999999")], 0, "at most 18 decimals"),
    ],
)
def test_shares_that_are_no_whole_are_refused(shares: Sequence[Decimal], remainder_on: int, message: str) -> None:
    for divide in (lambda: split(100, shares, remainder_on), lambda: split_expr(pl.col("a"), shares, remainder_on)):
        with pytest.raises(AmountError, match=message):
            divide()


def test_overflow_raises_and_names_the_culprit() -> None:
    frame = pl.DataFrame({"a": [MAX_MINOR]})
    with pytest.raises(AmountOverflow, match="line 3"), overflow_raises("line 3"):
        frame.select((pl.col("a").cast(pl.Int128) + 1).cast(pl.Int64))


def test_other_polars_errors_pass_the_overflow_guard() -> None:
    with pytest.raises(pl.exceptions.InvalidOperationError), overflow_raises("line 3"):
        pl.Series(["x"]).cast(pl.Int64)
