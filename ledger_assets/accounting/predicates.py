"""What a condition is made of: yes-or-no questions about one transaction.

Here: the questions, and two evaluations of each that must agree: one row in plain Python, all rows at once in
Polars. Not here: the text form (conditions), and priorities and effective dates (templates).

Nulls follow SQL: a comparison with null is unknown, AND, OR and NOT are three-valued, and a match applies only where
its condition is true. Text is compared by code point (PostgreSQL's collation "C"). Amounts are minor units.
"""

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import reduce
from typing import Final, Literal

import polars as pl

from ledger_assets.accounting.amounts import VARIABLES

Kind = Literal["text", "amount", "date"]
Value = str | int | date
Row = Mapping[str, Value | None]
"""One transaction by column: text, minor units, days; None for null."""

FIELDS: Final[Mapping[str, Kind]] = {
    "txn_type": "text",
    "product_code": "text",
    "channel": "text",
    "currency": "text",
    "policy_id": "text",
    **dict.fromkeys(VARIABLES, "amount"),
    "txn_date": "date",
    "bank_value_date": "date",
}
"""The columns that a condition may refer to, and what they hold."""

_SIGNS: Final[Mapping[str, Callable[..., bool]]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Field:
    """A column of the transaction."""

    name: str

    def value(self, row: Row) -> Value | None:
        """What the row holds."""
        return row[self.name]

    def to_polars(self) -> pl.Expr:
        """The column."""
        return pl.col(self.name)


@dataclass(frozen=True)
class Constant:
    """A literal: text, minor units, or a day."""

    content: Value

    def value(self, row: Row) -> Value | None:  # noqa: ARG002 - the same for every row
        """The literal, whatever the row."""
        return self.content

    def to_polars(self) -> pl.Expr:
        """The literal; minor units always as Int64."""
        return pl.lit(self.content, pl.Int64) if isinstance(self.content, int) else pl.lit(self.content)


@dataclass(frozen=True)
class Comparison:
    """A column compared with a constant or with another column of its kind."""

    sign: str
    left: Field | Constant
    right: Field | Constant

    def truth(self, row: Row) -> bool | None:
        """True, False, or None for unknown."""
        left, right = self.left.value(row), self.right.value(row)
        return None if left is None or right is None else _SIGNS[self.sign](left, right)

    def to_polars(self) -> pl.Expr:
        """The truth of all rows: Boolean, null for unknown."""
        compare: Callable[[pl.Expr, pl.Expr], pl.Expr] = _SIGNS[self.sign]  # type: ignore[assignment]
        return compare(self.left.to_polars(), self.right.to_polars())


@dataclass(frozen=True)
class Membership:
    """A column whose value is one of several constants."""

    field: Field
    values: tuple[Value, ...]

    def truth(self, row: Row) -> bool | None:
        """True, False, or None for unknown."""
        value = self.field.value(row)
        return None if value is None else value in self.values

    def to_polars(self) -> pl.Expr:
        """The truth of all rows: Boolean, null for unknown."""
        return self.field.to_polars().is_in(list(self.values))


@dataclass(frozen=True)
class Like:
    """Text of a certain pattern: `%` is any text, `_` any one character, a backslash takes the next one literally."""

    field: Field
    pattern: str

    def truth(self, row: Row) -> bool | None:
        """True, False, or None for unknown."""
        value = self.field.value(row)
        return None if value is None else re.fullmatch(_regex(self.pattern, re.escape), str(value)) is not None

    def to_polars(self) -> pl.Expr:
        """The truth of all rows: Boolean, null for unknown."""
        # Rust's `$` without the m flag is the very end of the text, unlike Python's.
        literally = lambda character: f"\\x{{{ord(character):x}}}"  # noqa: E731
        return self.field.to_polars().str.contains(f"^{_regex(self.pattern, literally)}$")


@dataclass(frozen=True)
class IsNull:
    """A column without a value; never unknown."""

    field: Field

    def truth(self, row: Row) -> bool | None:
        """True or False."""
        return self.field.value(row) is None

    def to_polars(self) -> pl.Expr:
        """The truth of all rows: Boolean without nulls."""
        return self.field.to_polars().is_null()


@dataclass(frozen=True)
class Not:
    """The contrary; the contrary of unknown is unknown."""

    part: "Node"

    def truth(self, row: Row) -> bool | None:
        """True, False, or None for unknown."""
        return not_(self.part.truth(row))

    def to_polars(self) -> pl.Expr:
        """The truth of all rows: Boolean, null for unknown."""
        return ~self.part.to_polars()


@dataclass(frozen=True)
class All:
    """Every part holds (AND): false as soon as one part is false, even if another is unknown."""

    parts: tuple["Node", ...]

    def truth(self, row: Row) -> bool | None:
        """True, False, or None for unknown."""
        return all_of(part.truth(row) for part in self.parts)

    def to_polars(self) -> pl.Expr:
        """The truth of all rows: Boolean, null for unknown."""
        return reduce(operator.and_, (part.to_polars() for part in self.parts))


@dataclass(frozen=True)
class Some:
    """At least one part holds (OR): true as soon as one part is true, even if another is unknown."""

    parts: tuple["Node", ...]

    def truth(self, row: Row) -> bool | None:
        """True, False, or None for unknown."""
        return some_of(part.truth(row) for part in self.parts)

    def to_polars(self) -> pl.Expr:
        """The truth of all rows: Boolean, null for unknown."""
        return reduce(operator.or_, (part.to_polars() for part in self.parts))


Atom = Comparison | Membership | Like | IsNull
Node = Atom | Not | All | Some


def not_(truth: bool | None) -> bool | None:  # noqa: FBT001 - truths are what it is about
    """NOT with unknown."""
    return None if truth is None else not truth


def all_of(truths: Iterable[bool | None]) -> bool | None:
    """AND with unknown."""
    found = set(truths)
    return False if False in found else None if None in found else True


def some_of(truths: Iterable[bool | None]) -> bool | None:
    """OR with unknown."""
    found = set(truths)
    return True if True in found else None if None in found else False


def atoms(node: Node) -> Iterator[Atom]:
    """The comparisons that a question is made of."""
    match node:
        case Not(part):
            yield from atoms(part)
        case All(parts) | Some(parts):
            for part in parts:
                yield from atoms(part)
        case _:
            yield node


def _regex(pattern: str, literally: Callable[[str], str]) -> str:
    """A LIKE pattern as a regular expression (without anchors); the parser has refused a backslash at the end."""
    pieces = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            pieces.append(literally(next(characters)))
        else:
            pieces.append({"%": ".*", "_": "."}.get(character) or literally(character))
    return f"(?s:{''.join(pieces)})"
