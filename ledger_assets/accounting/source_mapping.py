"""From other people's columns to the twelve of a transaction.

Here: what a mapping says and how it turns a frame of a file into a frame of transactions. Not here: the TOML file that
a mapping is written in (mapping), and the verdict on the rows (schemas).

A column that the mapping does not mention is expected in the file under its own name, so the empty mapping is the
identity. Rows are left out only where the mapping says so, and they are counted.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final, Literal, NamedTuple

import polars as pl

from ledger_assets.accounting.amounts import COMPONENTS, GROSS
from ledger_assets.accounting.amounts import VARIABLES as AMOUNTS
from ledger_assets.accounting.money import split_expr
from ledger_assets.accounting.schemas import DATES, SOURCE_COLUMNS, TEXTS
from ledger_assets.accounting.source_values import Notation, as_amount, as_day, as_text, as_whole_number

ANY_OTHER: Final = "*"
"""In `SourceMapping.values`: what every value becomes that is not listed."""


SPREAD: Final = "spread"
"""In `DateRule.month`: the months take turns."""


@dataclass(frozen=True)
class IdRule:
    """How a txn_id is made where the file has none: prefix, then columns joined, or the row's position without any."""

    prefix: str = ""
    columns: tuple[str, ...] = ()
    separator: str = "-"


@dataclass(frozen=True)
class DateRule:
    """How both dates are made from a year.

    Attributes:
        year: the column with the year.
        month: 1 to 12, a column, or "spread": the row's position decides, so that each month gets a twelfth.
        day: 1 to 28.
    """

    year: str
    month: int | str
    day: int

    @property
    def month_column(self) -> str | None:
        """The column with the month, if it comes from one."""
        return self.month if isinstance(self.month, str) and self.month != SPREAD else None


@dataclass(frozen=True)
class SplitRule:
    """How the gross amount is divided; shares in the order of `COMPONENTS`, adding up to 1."""

    shares: tuple[Decimal, Decimal, Decimal]
    remainder_on: int


class Mapped(NamedTuple):
    """Rows of a file as transactions.

    Attributes:
        frame: row_number (Int32) and the twelve source columns, as `schemas.judge` takes them.
        raw: the same rows as delivered.
        skipped: how many rows the mapping left out.
    """

    frame: pl.DataFrame
    raw: pl.DataFrame
    skipped: int


@dataclass(frozen=True)
class SourceMapping:
    """What a mapping file says; `SourceMapping()` is the identity.

    Attributes:
        columns: our column to the file's column.
        constants: our column to the value that every row gets.
        id: how txn_id is made, if it is not a column.
        date: how the two dates are made, if they are not columns.
        split: how the components are made, if they are not columns.
        values: our text column to a translation of its values; a value that is not listed stays.
        skip_where: the file's column to the values whose rows are left out.
        skip_zero_amounts: leave out rows whose gross amount is zero.
        other_months: what happens to rows of another month: rejected (WRONG_MONTH), or left out and counted.
        notation: how numbers and days are written.
        delimiter: what separates the fields of a CSV file.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str | date] = field(default_factory=dict)
    id: IdRule | None = None
    date: DateRule | None = None
    split: SplitRule | None = None
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    skip_where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skip_zero_amounts: bool = False
    other_months: Literal["reject", "skip"] = "reject"
    notation: Notation = field(default_factory=Notation)
    delimiter: str = ","

    @property
    def sha256(self) -> str:
        """Identifies what the mapping says; comments and layout of its file do not count."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True, default=str).encode()).hexdigest()

    def file_column(self, name: str) -> str | None:
        """The file's column that one of ours is read from; None if it is made by a rule or is a constant."""
        made = {
            *self.constants,
            *(["txn_id"] if self.id else []),
            *(DATES if self.date else []),
            *(COMPONENTS if self.split else []),
        }
        return self.columns.get(name, None if name in made else name)

    def needs(self) -> Iterator[tuple[str, Literal["text", "amount", "day"]]]:
        """Every column that the file must have, and what it is read as. A column may come twice."""
        kinds: dict[str, Literal["text", "amount", "day"]] = {
            **dict.fromkeys(TEXTS, "text"), **dict.fromkeys(DATES, "day"), **dict.fromkeys(AMOUNTS, "amount"),
        }  # fmt: skip
        for name in SOURCE_COLUMNS:
            if (column := self.file_column(name)) is not None:
                yield column, kinds[name]
        made_from = [*self.skip_where, *(self.id.columns if self.id else [])]
        if self.date:
            month = self.date.month_column
            made_from += [self.date.year, *([] if month is None else [month])]  # a column may have an empty name
        yield from ((column, "text") for column in made_from)

    def apply(self, raw: pl.DataFrame, first_row: int, period: str) -> Mapped:
        """Turn rows of a file into transactions.

        Args:
            raw: columns as in the file; text, or the types of a Parquet file that `source_values` takes.
            first_row: position in the file of the first row, counted from 1.
            period: the month that is loaded; needed to leave out rows of other months.

        Raises:
            UnreadableValue: a value is no number or no day.
        """
        rows = pl.Series("row_number", range(first_row, first_row + raw.height), pl.Int32)
        kept = raw.with_columns(rows.alias(_ROW))
        for column, unwanted in self.skip_where.items():
            kept = kept.filter(~as_text(kept[column], kept[_ROW]).is_in(unwanted).fill_null(value=False))
        frame = self._transactions(kept)
        if skipped := self._skipped(period):
            is_kept = frame.select(~pl.any_horizontal(skipped).fill_null(value=False)).to_series()
            frame, kept = frame.filter(is_kept), kept.filter(is_kept)
        return Mapped(frame, kept.drop(_ROW), raw.height - frame.height)

    def _transactions(self, kept: pl.DataFrame) -> pl.DataFrame:
        rows = kept[_ROW]
        made = {name: self._column(name, kept, rows) for name in SOURCE_COLUMNS if self._is_simple(name)}
        if self.id:
            made["txn_id"] = _ids(self.id, kept, rows)
        if self.date:
            made |= dict.fromkeys(DATES, _dates(self.date, kept, rows))
        if self.split:
            made |= _parts(self.split, made[GROSS])
        return pl.DataFrame({"row_number": rows.cast(pl.Int32), **{name: made[name] for name in SOURCE_COLUMNS}})

    def _is_simple(self, name: str) -> bool:
        return name in self.constants or self.file_column(name) is not None

    def _column(self, name: str, kept: pl.DataFrame, rows: pl.Series) -> pl.Series:
        column = self.file_column(name)
        constant = self.constants.get(name)
        delivered = kept[column] if column is not None else pl.Series(name, [constant]).new_from_index(0, kept.height)
        if name in AMOUNTS:
            return as_amount(delivered, rows, self.notation if column is not None else Notation())
        if name in DATES:
            return as_day(delivered, rows, self.notation)
        translated = self._translated(name, as_text(delivered, rows))
        return as_text(translated, rows) if name in self.values else translated

    def _translated(self, name: str, text: pl.Series) -> pl.Series:
        translation = dict(self.values.get(name, {}))
        if not translation:
            return text
        if ANY_OTHER in translation:
            other = translation.pop(ANY_OTHER)
            translated = text.replace_strict(translation, default=other, return_dtype=pl.String)
            return translated.set(text.is_null(), None)
        return text.replace(translation)

    def _skipped(self, period: str) -> list[pl.Expr]:
        """What a row of transactions is left out for; null where a row lacks the value."""
        conditions = []
        if self.skip_zero_amounts:
            conditions.append(pl.col(GROSS) == 0)
        if self.other_months == "skip":
            conditions.append(pl.col("bank_value_date").dt.strftime("%Y-%m") != period)
        return conditions


_ROW: Final = "\0row_number"
"""A name that no column of a file has: NUL is refused by the readers."""


def _ids(rule: IdRule, kept: pl.DataFrame, rows: pl.Series) -> pl.Series:
    """A part that is missing makes the id missing."""
    parts = [as_text(kept[column], rows).alias(str(number)) for number, column in enumerate(rule.columns)]
    parts = parts or [rows.cast(pl.String)]
    joined = pl.concat_str(pl.all(), separator=rule.separator, ignore_nulls=False)
    return as_text(pl.DataFrame(parts).select((pl.lit(rule.prefix) + joined).alias("txn_id")).to_series(), rows)


def _dates(rule: DateRule, kept: pl.DataFrame, rows: pl.Series) -> pl.Series:
    years = as_whole_number(kept[rule.year], rows, 1, 9999)
    if rule.month_column is not None:
        months = as_whole_number(kept[rule.month_column], rows, 1, 12)
    elif rule.month == SPREAD:
        months = (rows - 1) % 12 + 1
    else:
        months = pl.Series([rule.month], dtype=pl.Int32).new_from_index(0, kept.height)
    parts = pl.DataFrame([years.alias("year"), months.cast(pl.Int32).alias("month")])
    return parts.select(pl.date("year", "month", rule.day)).to_series()


def _parts(rule: SplitRule, gross: pl.Series) -> dict[str, pl.Series]:
    """The components. What no minor unit can express (more decimals, too many digits) stays on the remainder, so that
    the amounts still add up and the row is rejected for the one thing that is wrong with it."""
    amount = pl.col("gross")
    can_be_split = (amount.abs() < 10**16) & (amount.cast(pl.Decimal(38, 2)) == amount)
    minor = (pl.when(can_be_split).then(amount).otherwise(0).cast(pl.Decimal(38, 2)) * 100).cast(pl.Int64)
    parts = [
        (part.cast(pl.Decimal(38, 2)) * pl.lit(Decimal("0.01"))).cast(gross.dtype)
        for part in split_expr(minor, rule.shares, rule.remainder_on)
    ]
    others = [part for index, part in enumerate(parts) if index != rule.remainder_on]
    parts[rule.remainder_on] = (amount - others[0] - others[1]).cast(gross.dtype)
    # A missing amount has missing parts, not the zeros that were put in its place above.
    known = [pl.when(amount.is_not_null()).then(part) for part in parts]
    return pl.DataFrame({"gross": gross}).select(**dict(zip(COMPONENTS, known, strict=True))).to_dict()
