"""Which template each transaction takes, for all transactions at once.

Here: the vectorised twin of `RuleSet.templates_for`. Not here: what the templates then make of a transaction
(posting).

A template is chosen by type, product, channel and day, and only sometimes by a condition. The rules know few types,
products, channels and days on which something changes; between them they cut all possible transactions into cells,
and without conditions every transaction of a cell takes the same template. So each row gets the number of its cell
(a few look-ups in small vocabularies), each cell that occurs is decided once in plain Python, and only the rows of
cells with conditions are looked at one by one.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import polars as pl

from ledger_assets.accounting.conditions import Condition
from ledger_assets.accounting.errors import RuleError
from ledger_assets.accounting.templates import RuleSet

NO_TEMPLATE: Final = -1
"""Choice of a row that no template applies to. Smaller numbers are ambiguities: -2 is the first, -3 the second ..."""

_MAX_TEMPLATES_OF_A_CELL: Final = 60
"""Which templates apply is kept as one bit each of an Int64."""

_Level = dict[int, list[Condition | None]]
"""Of one priority: for each template (by its index) the conditions of its matches; None always holds."""


@dataclass(frozen=True)
class Cell:
    """Transactions that no rule tells apart, except by conditions. None stands for any value the rules do not name."""

    source_type: str | None
    product_code: str | None
    channel: str | None
    day: date | None
    """A day from which the same templates are in effect; None is before the first."""


@dataclass(frozen=True)
class Matching:
    """The choice for each transaction.

    Attributes:
        cells: the cells that occur.
        cell: for each row, the index of its cell in `cells` (UInt32).
        choice: for each row, the index of its template in the rule set (Int32), or `NO_TEMPLATE`, or an ambiguity.
        ambiguities: for the k-th ambiguity (choice -2 - k) the indexes of its templates.
    """

    cells: tuple[Cell, ...]
    cell: pl.Series
    choice: pl.Series
    ambiguities: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Vocabulary:
    """The values that the rules name, each list in a fixed order."""

    source_types: tuple[str, ...]
    products: tuple[str, ...]
    channels: tuple[str, ...]
    days: tuple[date, ...]

    @classmethod
    def of(cls, rule_set: RuleSet) -> "Vocabulary":
        """What the templates and overrides of a rule set name."""
        matches = [match for template in rule_set.templates for match in template.matches]
        first_days = {template.effective_from for template in rule_set.templates}
        days_after = {
            template.effective_to + timedelta(days=1)
            for template in rule_set.templates
            if template.effective_to is not None and template.effective_to < date.max
        }
        return cls(
            source_types=_named(template.source_type for template in rule_set.templates),
            products=_named([*(m.product_code for m in matches), *(o.product_code for o in rule_set.overrides)]),
            channels=_named([*(m.channel for m in matches), *(o.channel for o in rule_set.overrides)]),
            days=tuple(sorted(first_days | days_after)),
        )

    def number(self) -> pl.Expr:
        """The number of the cell of each row: Int64, the position in the four lists read as one mixed-radix number."""
        number = _position("txn_type", self.source_types)
        number = number * (len(self.products) + 1) + _position("product_code", self.products)
        number = number * (len(self.channels) + 1) + _position("channel", self.channels)
        days = [(pl.col("bank_value_date") >= day).cast(pl.Int64) for day in self.days]
        return number * (len(days) + 1) + pl.sum_horizontal(days)

    def cell(self, number: int) -> Cell:
        """The cell of a number."""
        rest, day = divmod(number, len(self.days) + 1)
        rest, channel = divmod(rest, len(self.channels) + 1)
        source_type, product = divmod(rest, len(self.products) + 1)
        return Cell(
            source_type=(*self.source_types, None)[source_type],
            product_code=(*self.products, None)[product],
            channel=(*self.channels, None)[channel],
            day=(None, *self.days)[day],
        )


def match(transactions: pl.DataFrame, rule_set: RuleSet, vocabulary: Vocabulary) -> Matching:
    """Choose the template of each transaction.

    Args:
        transactions: see `posting.expand`; type, product and bank_value_date without nulls.
        rule_set: the rules.
        vocabulary: of these rules.

    Raises:
        RuleError: more than 60 templates apply to the same type, product, channel and day.
    """
    number = transactions.select(number=vocabulary.number()).to_series()
    numbers = number.unique().sort()
    cell = number.replace_strict(numbers, range(len(numbers)), return_dtype=pl.UInt32)
    cells = tuple(vocabulary.cell(value) for value in numbers)
    levels = [_levels(rule_set, one) for one in cells]
    ambiguities: dict[tuple[int, ...], int] = {}
    by_cell = [_outcome(_certain(one), ambiguities) for one in levels]
    choice = pl.Series("choice", by_cell, pl.Int32).gather(cell)
    for index, one in enumerate(levels):
        if any(condition for level in one for conditions in level.values() for condition in conditions):
            rows = (cell == index).arg_true()
            choice = choice.scatter(rows, _by_conditions(transactions[rows], one, ambiguities))
    return Matching(cells, cell, choice, tuple(ambiguities))


def _levels(rule_set: RuleSet, cell: Cell) -> list[_Level]:
    """The matches that concern a cell, best priority first, without those that can never win."""
    by_priority: dict[int, _Level] = defaultdict(lambda: defaultdict(list))
    for index, template in enumerate(rule_set.templates):
        if cell.day is None or template.source_type != cell.source_type or not template.in_effect(cell.day):
            continue
        for item in template.matches:
            if item.concerns(cell.product_code, cell.channel):
                by_priority[item.priority][index].append(item.condition)
    levels = []
    for priority in sorted(by_priority):
        levels.append(by_priority[priority])
        if any(None in conditions for conditions in by_priority[priority].values()):
            break
    return levels


def _certain(levels: list[_Level]) -> tuple[int, ...]:
    """The templates that apply to every row of a cell without conditions."""
    return tuple(sorted(levels[0])) if levels else ()


def _outcome(templates: tuple[int, ...], ambiguities: dict[tuple[int, ...], int]) -> int:
    if not templates:
        return NO_TEMPLATE
    if len(templates) == 1:
        return templates[0]
    return NO_TEMPLATE - 1 - ambiguities.setdefault(templates, len(ambiguities))


def _by_conditions(rows: pl.DataFrame, levels: list[_Level], ambiguities: dict[tuple[int, ...], int]) -> pl.Series:
    """The choice for each row of one cell (Int32)."""
    indexes = sorted({index for level in levels for index in level})
    if len(indexes) > _MAX_TEMPLATES_OF_A_CELL:
        raise RuleError("templates", f"{len(indexes)} of them apply to one product and channel", "merge some of them")
    bits = [
        pl.sum_horizontal(_any_holds(conditions) * 2 ** indexes.index(index) for index, conditions in level.items())
        for level in levels
    ]
    # The first level with a bit wins; no bit at all is no template.
    winners = rows.select(bits=pl.coalesce(*(pl.when(level > 0).then(level) for level in bits), 0)).to_series()
    outcomes = {
        value: _outcome(tuple(index for bit, index in enumerate(indexes) if value >> bit & 1), ambiguities)
        for value in winners.unique().sort()
    }
    return winners.replace_strict(outcomes, return_dtype=pl.Int32)


def _any_holds(conditions: list[Condition | None]) -> pl.Expr:
    if None in conditions:
        return pl.lit(1, pl.Int64)
    return pl.any_horizontal(condition.to_polars() for condition in conditions if condition).cast(pl.Int64)


def _named(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value is not None}))


def _position(column: str, values: tuple[str, ...]) -> pl.Expr:
    """Where each value stands in the list; what is not in it (null too) stands behind its end."""
    if not values:
        return pl.lit(0, pl.Int64)
    return pl.col(column).replace_strict(
        list(values), list(range(len(values))), default=len(values), return_dtype=pl.Int64
    )
