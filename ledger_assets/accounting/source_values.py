"""Columns as a file delivers them, read as text, amounts and days, exactly or not at all.

Here: one function for each kind of column, strict: what is not plainly a number or a day raises `UnreadableValue` with
its row; nothing is guessed or rounded. Not here: which column is which (source_mapping), and whether an amount is
acceptable (schemas): too many decimals are read as they are, so that the row can be rejected with its reason.

A missing value is null: an empty field, or one of blanks only.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from ledger_assets.accounting.masking import pattern
from ledger_assets.accounting.schemas import AMOUNT
from ledger_assets.accounting.source_errors import UnreadableValue

WIDE: Final = pl.Decimal(38, 18)
"""Holds every number that is read at all: 18 digits before and 18 after the point."""

_PLAIN: Final = r"^-?[0-9]{1,16}(\.[0-9]{1,2})?$"
_WIDE: Final = r"^-?[0-9]{1,18}(\.[0-9]{1,18})?$"
_FIRST_DAY: Final = date.min  # 0001-01-01: before it Python does not follow, nor after 9999-12-31
_LAST_DAY: Final = date.max
_EPOCH: Final = date(1970, 1, 1)
_PER_DAY: Final = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
_NO_DAY: Final = ("is not a day of the years 1 to 9999", "correct the file")
_DAYS: Final = "write days as 2025-01-31, or give their notation as [date] format in the mapping"


@dataclass(frozen=True)
class Notation:
    """How a file writes numbers and days.

    Attributes:
        decimal: the decimal point.
        thousands: what groups digits by three, empty for nothing.
        day: the strptime format of a day.
    """

    decimal: str = "."
    thousands: str = ""
    day: str = "%Y-%m-%d"

    @property
    def number(self) -> str:
        """A regular expression for numbers in this notation."""
        point, group = re.escape(self.decimal), re.escape(self.thousands)
        grouped = rf"|[0-9]{{1,3}}({group}[0-9]{{3}}){{1,5}}" if group else ""
        return rf"^-?([0-9]{{1,18}}{grouped})({point}[0-9]{{1,18}})?$"


def as_text(column: pl.Series, rows: pl.Series) -> pl.Series:
    """String without blanks around it; null where nothing is left.

    Raises:
        UnreadableValue: a NUL character, which PostgreSQL cannot store; a day outside the years 1 to 9999.
    """
    text = _trimmed(_in_the_calendar(column, rows))
    _demand(text, ~text.str.contains("\0", literal=True), rows, ("holds a NUL character", "export the file again"))
    return text


def as_amount(column: pl.Series, rows: pl.Series, notation: Notation) -> pl.Series:
    """Decimal(18, 2) if every value fits into it exactly, else Decimal(38, 18).

    Args:
        column: text, a decimal or an integer type.
        rows: the row number of each value.
        notation: how numbers are written where the column is text.

    Raises:
        UnreadableValue: not a plain number, or more than 18 digits before or after the point.
    """
    if column.dtype != pl.String:
        return _exact(column, rows)
    text = _trimmed(column)
    if notation.thousands or notation.decimal != ".":
        _demand(text, text.str.contains(notation.number), rows, _not_a_number(notation))
        text = text.str.replace_all(notation.thousands, "", literal=True) if notation.thousands else text
        text = text.str.replace(notation.decimal, ".", literal=True)
    if text.str.contains(_PLAIN).all():
        return text.cast(AMOUNT)
    # The cast alone would take 1e5 and round 0.005: the pattern decides what is a number.
    _demand(text, text.str.contains(_WIDE), rows, _not_a_number(notation))
    return text.cast(WIDE)


def as_day(column: pl.Series, rows: pl.Series, notation: Notation) -> pl.Series:
    """Date.

    Args:
        column: text in the notation's format, a date, or a timestamp without time zone at midnight.
        rows: the row number of each value.
        notation: how days are written where the column is text.

    Raises:
        UnreadableValue: not an existing day of the years 1 to 9999 in that notation, or a time of day that would be
            lost.
    """
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        days = _in_the_calendar(column, rows).dt.date()
        if isinstance(column.dtype, pl.Datetime):
            is_midnight = column.to_physical() % _PER_DAY[column.dtype.time_unit] == 0
            _demand(column, is_midnight, rows, ("is a moment, not a day", "store it as a date"))
        return days
    text = _trimmed(column)
    days = text.str.to_date(notation.day, strict=False)
    _demand(text, days.is_not_null(), rows, (f"is not a day written as {notation.day}", _DAYS))
    _demand(text, days.is_between(_FIRST_DAY, _LAST_DAY), rows, _NO_DAY)
    return days


def as_whole_number(column: pl.Series, rows: pl.Series, first: int, last: int) -> pl.Series:
    """Int32 within bounds, both included; for years and months.

    Raises:
        UnreadableValue: anything else, a missing value too.
    """
    numbers = _trimmed(column).cast(pl.Int32, strict=False)
    problem = (f"is not a whole number from {first} to {last}", "correct the file or choose another column")
    _demand(column.cast(pl.String).fill_null(""), numbers.is_between(first, last).fill_null(value=False), rows, problem)
    return numbers


def _in_the_calendar(column: pl.Series, rows: pl.Series) -> pl.Series:
    """The column, if it holds no day or moment outside the calendar: Polars panics when it spells one."""
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        count = column.to_physical()
        per_day = _PER_DAY[column.dtype.time_unit] if isinstance(column.dtype, pl.Datetime) else 1
        first, last = ((day - _EPOCH).days for day in (_FIRST_DAY, _LAST_DAY))
        _demand(count, (count // per_day).is_between(first, last), rows, _NO_DAY)  # quotes the count
    return column


def _trimmed(column: pl.Series) -> pl.Series:
    text = column.cast(pl.String).str.strip_chars()
    is_empty = text.str.len_bytes() == 0
    return text.set(is_empty, None) if is_empty.any() else text


def _exact(column: pl.Series, rows: pl.Series) -> pl.Series:
    """A decimal or integer column as an amount."""
    kind = column.dtype
    if isinstance(kind, pl.Decimal) and (kind.precision or 38) - kind.scale <= 16 and kind.scale <= 2:
        return column.cast(AMOUNT)
    wide = column.cast(WIDE, strict=False)
    _demand(column, wide.is_not_null(), rows, ("has more than 18 digits", "check the unit of the amounts"))
    if isinstance(kind, pl.Decimal) and kind.scale > WIDE.scale:
        # Beyond 18 decimals the cast would round, and the row would look better than it is.
        _demand(column, wide == column, rows, ("has more than 18 decimals", "store amounts as decimal(18, 2)"))
    return wide


def _not_a_number(notation: Notation) -> tuple[str, str]:
    example = f"1{notation.thousands}234{notation.decimal}50"
    return "is not a number", f"write amounts in plain digits such as {example}; a mapping allows other notations"


def _demand(values: pl.Series, is_good: pl.Series, rows: pl.Series, problem: tuple[str, str]) -> None:
    """Raise for the first value that is there and not good. `problem`: what completes "a value like '9x'", and the fix.

    The value itself is not quoted: where a number should be, somebody's name may stand.
    """
    bad = values.is_not_null() & ~is_good.fill_null(value=False)
    if not bad.any():
        return
    at = bad.arg_max() or 0
    value = str(values[at])
    rule = f"a value like {pattern(value)!r} {problem[0]}"
    raise UnreadableValue(int(rows[at]), values.name, value, rule, problem[1])
