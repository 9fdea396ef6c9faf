"""Money as whole minor units, and how a whole is divided into parts.

Here: the scale, the two conversions at the border (text or Decimal in, Decimal out), exact division of an amount
into shares, and the guard against silent overflow. Not here: what the parts mean (templates) and how expressions
over amounts are written (amounts).

Inside the computation an amount is always an Int64 count of minor units (1.00 is 100). There is no float anywhere.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from typing import Final

import polars as pl

from ledger_assets.accounting.errors import AmountError, AmountOverflow

SCALE: Final = 2
"""Decimals of an amount: the minor unit is 10**-SCALE of the major unit."""

MINOR_PER_MAJOR: Final = 10**SCALE

MAX_MINOR: Final = 2**63 - 1
"""Largest amount in minor units. The smallest is -MAX_MINOR: every amount can change its sign."""

MAX_SHARE_DECIMALS: Final = 18
"""An Int64 amount times 10**18 fits into Int128 (2**63 * 10**18 < 2**127), so that parts are computed exactly."""

_PLAIN_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def to_minor(amount: Decimal | str) -> int:
    """Minor units of an amount in major units: `to_minor("1.25") == 125`.

    Args:
        amount: a finite Decimal, or plain decimal text (no exponent, no grouping, no blanks).

    Raises:
        AmountError: not a plain number, or more than `SCALE` decimals that are not zero. Nothing is ever rounded here.
        AmountOverflow: beyond `MAX_MINOR`.
    """
    if isinstance(amount, str):
        if not _PLAIN_NUMBER.fullmatch(amount):
            raise AmountError(repr(amount), "an amount is written as plain decimal digits", "write it like 1234.50")
        amount = Decimal(amount)
    # bool, int and float would work by accident, and float only nearly.
    if not isinstance(amount, Decimal) or not amount.is_finite():
        raise AmountError(repr(amount), "an amount is a finite Decimal or text", "pass Decimal('1234.50') or '1234.50'")
    # Before it is expanded: Decimal('1E+999999999') is a short text but an integer of a billion digits.
    if amount and amount.adjusted() + SCALE >= len(str(MAX_MINOR)):
        raise _too_large(str(amount))
    if amount and amount.adjusted() < -SCALE:
        raise _too_fine(amount)
    minor = Fraction(amount) * MINOR_PER_MAJOR
    if minor.denominator != 1:
        raise _too_fine(amount)
    if abs(minor.numerator) > MAX_MINOR:
        raise _too_large(str(amount))
    return minor.numerator


def from_minor(minor: int) -> Decimal:
    """Major units of an amount in minor units: `from_minor(125) == Decimal("1.25")`; always `SCALE` decimals."""
    # Built from digits: arithmetic would round to the precision of whatever decimal context is current.
    digits = tuple(int(digit) for digit in str(abs(minor)))
    return Decimal((int(minor < 0), digits, -SCALE))


def split(total_minor: int, shares: Sequence[Decimal], remainder_on: int) -> tuple[int, ...]:
    """Divide an amount into parts that add up to it exactly.

    Every part but one is `total * share` cut off towards zero; the part named by `remainder_on` takes what is left.
    Cutting off (and not rounding half to even) is what keeps the remainder on the side of the total: rounded parts
    can exceed the whole (0.03 into two halves and nothing would leave -0.01). So no part has the other sign, and the
    parts of -total are the negated parts of total, as a reversal needs.

    Args:
        total_minor: the whole, in minor units.
        shares: shares of the whole, not negative, adding up to exactly 1, at most `MAX_SHARE_DECIMALS` decimals each.
        remainder_on: index of the part that takes the remainder, from 0.

    Returns:
        One amount in minor units for each share, in the order of the shares.

    Raises:
        AmountError: shares that do not describe a whole, or no such part.
    """
    numerators, denominator = _whole_shares(shares, remainder_on)
    sign = -1 if total_minor < 0 else 1
    parts = [sign * (abs(total_minor) * numerator // denominator) for numerator in numerators]
    parts[remainder_on] = total_minor - sum(parts) + parts[remainder_on]
    return tuple(parts)


def split_expr(total: pl.Expr, shares: Sequence[Decimal], remainder_on: int) -> list[pl.Expr]:
    """The vectorised twin of `split`: one Int64 expression for each share, over all rows at once.

    Args:
        total: Int64 minor units; null gives null parts.
        shares: see `split`.
        remainder_on: see `split`.

    Raises:
        AmountError: as `split`, when the expressions are built. Evaluating them cannot overflow: products are made
            in Int128, where `MAX_SHARE_DECIMALS` keeps them, and no part is larger than the whole.
    """
    numerators, denominator = _whole_shares(shares, remainder_on)
    wide = total.cast(pl.Int128)
    parts = [
        (wide.sign() * (wide.abs() * pl.lit(numerator, pl.Int128) // pl.lit(denominator, pl.Int128))).cast(pl.Int64)
        for numerator in numerators
    ]
    rest = total
    for index, part in enumerate(parts):
        if index != remainder_on:
            rest = rest - part
    parts[remainder_on] = rest
    return parts


@contextmanager
def overflow_raises(culprit: str) -> Iterator[None]:
    """Name the culprit when a strict cast to Int64 fails inside.

    Polars wraps silently when Int64 or Int128 arithmetic overflows, but its strict casts raise. So exact results are
    made in Int128, cast back, and evaluated inside this block.

    Raises:
        AmountOverflow: a cast inside met a value that does not fit.
    """
    try:
        yield
    except pl.exceptions.InvalidOperationError as error:
        if "conversion from `i128` to `i64` failed" not in str(error):
            raise
        raise _too_large(culprit) from error


def _whole_shares(shares: Sequence[Decimal], remainder_on: int) -> tuple[list[int], int]:
    """The shares as integers over one common denominator, after checking that they describe a whole."""
    culprit = f"shares {[str(share) for share in shares]}"
    if not 0 <= remainder_on < len(shares):
        raise AmountError(culprit, f"there is no part {remainder_on}", f"name a part from 0 to {len(shares) - 1}")
    if not all(share.is_finite() and 0 <= share <= 1 for share in shares):
        raise AmountError(culprit, "a share lies between 0 and 1", "write 40 % as Decimal('0.40')")
    denominator = 10**MAX_SHARE_DECIMALS
    # The first test keeps Decimal('1E-999999999') from being expanded to a billion digits by the second.
    too_fine = any(share and share.adjusted() < -MAX_SHARE_DECIMALS for share in shares)
    numerators = [] if too_fine else [Fraction(share) * denominator for share in shares]
    if too_fine or any(numerator.denominator != 1 for numerator in numerators):
        raise AmountError(culprit, f"a share has at most {MAX_SHARE_DECIMALS} decimals", "round the shares")
    if sum(numerators) != denominator:
        raise AmountError(culprit, "shares add up to exactly 1", "put the difference on the part with the remainder")
    return [numerator.numerator for numerator in numerators], denominator


def _too_large(culprit: str) -> AmountOverflow:
    return AmountOverflow(
        culprit, f"the amount does not fit into {from_minor(MAX_MINOR)}", "check the source amounts and the rule"
    )


def _too_fine(amount: Decimal) -> AmountError:
    return AmountError(f"amount {amount}", f"an amount has at most {SCALE} decimals", "round it at the source")
