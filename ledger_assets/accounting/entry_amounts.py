"""What the lines of one template amount to, for many transactions at once.

Here: amounts in wide form (one row per transaction, one column per line), the remainder rule, and the reasons why a
transaction cannot be posted. Not here: numbers, dates and accounts (posting).

The remainder rule: every amount is rounded on its own, half away from zero, so the lines of an entry and fund can
miss each other by a few minor units. The difference goes to the line that takes the remainder. A difference larger
than rounding can explain is no remainder: the transaction is out of balance.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from operator import add
from typing import Final

import polars as pl

from ledger_assets.accounting.amounts import COMPONENTS, GROSS, LinearForm
from ledger_assets.accounting.money import overflow_raises
from ledger_assets.accounting.templates import Side, Template, TemplateLine

NEGATIVE_AMOUNT: Final = "NEGATIVE_AMOUNT"
"""A line would be below zero: the side says the direction, never the sign."""

OUT_OF_BALANCE: Final = "OUT_OF_BALANCE"
"""The components do not add up to gross, or an entry does not balance in a fund."""

NO_AMOUNT: Final = "NO_AMOUNT"
"""Every line would be zero."""


@dataclass(frozen=True)
class Group:
    """The lines of one entry and fund: what has to balance."""

    lines: tuple[TemplateLine, ...]

    @property
    def remainder(self) -> TemplateLine | None:
        """The line that takes the remainder; rule_proofs refuses two."""
        return next((line for line in self.lines if line.takes_remainder), None)

    @property
    def largest_remainder(self) -> int:
        """What rounding can explain, in minor units: half a unit for each line that rounds."""
        return sum(line.amount.form.rounds for line in self.lines) // 2

    @property
    def movement(self) -> LinearForm:
        """Debits less credits, with gross written as its components."""
        signed = (line.amount.form.times(Fraction(line.side.sign)) for line in self.lines)
        return reduce(add, signed).in_components()

    @property
    def is_exact(self) -> bool:
        """Whether nothing rounds, and it balances for every transaction whose components add up to gross."""
        return self.movement.is_zero and not any(line.amount.form.rounds for line in self.lines)


def groups(template: Template) -> tuple[Group, ...]:
    """The lines of a template by entry and fund."""
    found: dict[tuple[int, str], list[TemplateLine]] = defaultdict(list)
    for line in template.lines:
        found[line.entry, line.fund].append(line)
    return tuple(Group(tuple(lines)) for lines in found.values())


def entry_amounts(template: Template, rows: pl.DataFrame) -> pl.DataFrame:
    """Evaluate a template for transactions.

    Args:
        template: the template.
        rows: the columns `amounts.VARIABLES` (Int64 minor units without nulls); others are kept.

    Returns:
        The rows in their order, with these columns added: `line_1`, `line_2` ... (Int64, signed, one for each line of
        the template; zero for a line that is not to be made), `total_1`, `total_2` ... (Int64, the debits of each
        entry; null where there is a reason), and `reason` (String, null where the transaction can be posted).

    Raises:
        AmountOverflow: an amount does not fit into Int64; the culprit is the template and its expression.
    """
    frame, columns = _with_amounts(template, rows)
    written = set(columns.values())
    frame, misses = _with_remainders(template, frame, columns)
    frame = frame.with_columns(reason=_reason(written, misses, set(columns.values())))
    frame = _with_totals(template, frame, columns)
    return frame.with_columns(
        (pl.col(columns[line]) * line.side.sign).alias(f"line_{position}")
        for position, line in enumerate(template.lines, 1)
    )


_Columns = dict[TemplateLine, str]
"""For each line the column that holds its amount, without sign."""


def _with_amounts(template: Template, rows: pl.DataFrame) -> tuple[pl.DataFrame, _Columns]:
    """Every amount as its expression says. Equal amounts share a column, and a plain source amount is its own."""
    names: dict[LinearForm, str] = {}
    for line in template.lines:
        form = line.amount.form
        if form not in names:
            names[form] = form.plain_variable or f"amount_{len(names)}"
            if form.plain_variable is None:
                with overflow_raises(f"{template.name}, amount {line.amount.text}"):
                    rows = rows.with_columns(line.amount.to_polars().alias(names[form]))
    return rows, {line: names[line.amount.form] for line in template.lines}


def _with_remainders(template: Template, frame: pl.DataFrame, columns: _Columns) -> tuple[pl.DataFrame, list[pl.Expr]]:
    """Give the remainders to the lines that take them, and say which rows do not balance all the same.

    Groups that are proven to balance are not looked at. `columns` is changed for the lines that take a remainder.
    """
    misses = []
    for number, group in enumerate(groups(template)):
        if group.is_exact:
            continue
        name = f"miss_{number}"
        debits = _sum(columns[line] for line in group.lines if line.side is Side.DR)
        frame = frame.with_columns(
            (debits - _sum(columns[line] for line in group.lines if line.side is Side.CR)).alias(name)
        )
        remainder = group.remainder
        misses.append(pl.col(name).abs() > (group.largest_remainder if remainder else 0))
        if remainder:
            taken = f"remainder_{number}"
            with overflow_raises(f"{template.name}, remainder on line {remainder.line_number}"):
                amount = pl.col(columns[remainder]).cast(pl.Int128) - pl.col(name) * remainder.side.sign
                frame = frame.with_columns(amount.cast(pl.Int64).alias(taken))
            columns[remainder] = taken
    return frame, misses


def _reason(written: set[str], misses: list[pl.Expr], final: set[str]) -> pl.Expr:
    """Why a row cannot be posted, or null: from its amounts as written, what does not balance, and as they end up."""
    return (
        pl.when(pl.any_horizontal(pl.col(column) < 0 for column in written))
        .then(pl.lit(NEGATIVE_AMOUNT))
        .when(pl.any_horizontal(_sum(COMPONENTS) != pl.col(GROSS), *misses))
        .then(pl.lit(OUT_OF_BALANCE))
        .when(pl.any_horizontal(pl.col(column) < 0 for column in final))
        .then(pl.lit(NEGATIVE_AMOUNT))
        .when(pl.all_horizontal(pl.col(column) == 0 for column in final))
        .then(pl.lit(NO_AMOUNT))
    )


def _with_totals(template: Template, frame: pl.DataFrame, columns: _Columns) -> pl.DataFrame:
    """The debits of each entry; null in rows that cannot be posted, whose amounts can be anything."""
    with overflow_raises(f"{template.name}, total of the debits"):
        return frame.with_columns(
            pl.when(pl.col("reason").is_null())
            .then(_sum(columns[line] for line in template.lines if line.entry == entry and line.side is Side.DR))
            .cast(pl.Int64)
            .alias(f"total_{entry}")
            for entry in range(1, template.entry_count + 1)
        )


def _sum(columns: Iterable[str]) -> pl.Expr:
    """The exact sum, as Int128: a template has fewer lines than would make 2**63 times their number overflow."""
    return reduce(add, (pl.col(column).cast(pl.Int128) for column in columns), pl.lit(0, pl.Int128))
