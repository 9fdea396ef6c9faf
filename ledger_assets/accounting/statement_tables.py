"""The form of a financial statement: lines, columns, and which lines add up to which.

Here: a table that knows how its totals are made, so that each paper (page, PDF, workbook, CSV) prints the same figures
and a spreadsheet can hold the same sums as formulas. Not here: which lines a statement has (statements).

Amounts are whole minor units as Python integers, which have no largest one: nothing is rounded and nothing overflows.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

Amount = int | None
"""Minor units; None where there is no figure to compare with (the books begin later)."""


class Kind(StrEnum):
    """What a line is, and so how it is printed."""

    HEADING = "heading"
    AMOUNT = "amount"
    SUBTOTAL = "subtotal"
    TOTAL = "total"
    CHECK = "check"
    """A line that has to be zero in every column."""


@dataclass(frozen=True)
class Term:
    """A line that a total takes in: added (sign 1) or taken away (sign -1)."""

    sign: int
    line: int


@dataclass(frozen=True)
class Line:
    """A line of a statement. A heading has no amounts; a total says by its terms what it is the sum of."""

    kind: Kind
    label: str
    amounts: tuple[Amount, ...] = ()
    account_codes: tuple[str, ...] = ()
    terms: tuple[Term, ...] = ()
    fund: str = ""


@dataclass(frozen=True)
class Check:
    """Two routes to one figure, in minor units."""

    label: str
    expected: int
    actual: int

    @property
    def passed(self) -> bool:
        return self.expected == self.actual

    @property
    def difference(self) -> int:
        return self.actual - self.expected


@dataclass(frozen=True)
class Statement:
    """A statement as it is printed.

    Attributes:
        name: as in file names and on the command line, such as `balance-sheet`.
        title: what the paper is called.
        columns: the headings of the amounts.
        lines: in the order of the paper.
        column_sums: column -> the columns that it is the sum of, in every line with amounts.
        notes: sentences below it.
        checks: how it ties to figures that were found in another way.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    column_sums: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()

    @property
    def ties(self) -> bool:
        """Every check passed, and every line that has to be zero is."""
        zero = all(not any(line.amounts) for line in self.lines if line.kind is Kind.CHECK)
        return zero and all(check.passed for check in self.checks)

    def is_bad(self, line: Line, minor: Amount) -> bool:
        """Whether an amount is one to look at: a loss, a deficit, a line that has to be zero and is not.

        Credit balances and eliminations are negative in good order.
        """
        if not minor:
            return False
        is_result = self.name in {"profit-and-loss", "funds"} and line.kind is Kind.TOTAL
        return line.kind is Kind.CHECK or (is_result and minor < 0)

    @property
    def has_figures(self) -> bool:
        """Whether there is any account to show, or anything but zeros."""
        return any(line.account_codes or any(line.amounts) for line in self.lines)

    def line(self, label: str, fund: str = "") -> Line:
        """The line with that label (of that fund). Raises KeyError."""
        for line in self.lines:
            if line.label == label and line.kind is not Kind.HEADING and fund in ("", line.fund):
                return line
        raise KeyError(f"{self.name} has no line {label!r} {fund}".strip())


class Composer:
    """Builds the lines of a statement; totals are computed from the lines that they name, never given."""

    def __init__(self, columns: int, unknown: Collection[int] = ()) -> None:
        """`unknown`: the columns without figures, whose totals are none either."""
        self.lines: list[Line] = []
        self._columns = columns
        self._unknown = unknown

    def heading(self, label: str, fund: str = "") -> None:
        self.lines.append(Line(Kind.HEADING, label, fund=fund))

    def amount(self, label: str, amounts: Sequence[Amount], account_codes: Sequence[str] = (), fund: str = "") -> Term:
        if len(amounts) != self._columns:
            raise ValueError(f"{label!r} has {len(amounts)} amounts for {self._columns} columns")
        self.lines.append(Line(Kind.AMOUNT, label, tuple(amounts), tuple(account_codes), fund=fund))
        return Term(1, len(self.lines) - 1)

    def total(self, label: str, terms: Sequence[Term], kind: Kind = Kind.SUBTOTAL, fund: str = "") -> Term:
        """The sum of the terms; zero without any, None in a column in which one of them is None."""
        amounts = tuple(self._sum(terms, column) for column in range(self._columns))
        self.lines.append(Line(kind, label, amounts, terms=tuple(terms), fund=fund))
        return Term(1, len(self.lines) - 1)

    def _sum(self, terms: Sequence[Term], column: int) -> Amount:
        if column in self._unknown:
            return None
        total = 0
        for term in terms:
            amount = self.lines[term.line].amounts[column]
            if amount is None:
                return None
            total += term.sign * amount
        return total


def less(term: Term) -> Term:
    """The line taken away instead of added."""
    return Term(-term.sign, term.line)
