"""What a control says: expected, actual, difference, line by line.

Here: the form of a verdict and how it is concluded from its lines. Not here: the controls themselves (gates,
balances, deliveries).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ledger_assets.accounting.money import from_minor

CULPRITS_NAMED = 5


@dataclass(frozen=True)
class Comparison:
    """One line of a verdict: a named figure, expected and actual, as people write it."""

    measure: str
    expected: str
    actual: str
    difference: str
    passed: bool


@dataclass(frozen=True)
class Verdict:
    """What a control says. `expected`, `actual` and `difference` sum it up; `comparisons` are its lines."""

    gate: str
    passed: bool
    expected: str
    actual: str
    difference: str
    detail: str
    comparisons: tuple[Comparison, ...]


def count(measure: str, expected: int, actual: int) -> Comparison:
    """Compare two whole numbers (counts, numbers of entries, checksums)."""
    return Comparison(measure, f"{expected:,}", f"{actual:,}", f"{actual - expected:+,}", passed=expected == actual)


def amount(measure: str, expected: int, actual: int) -> Comparison:
    """Compare two amounts given in minor units; shown in major units."""
    shown = [f"{from_minor(minor):,}" for minor in (expected, actual)]
    return Comparison(measure, shown[0], shown[1], f"{from_minor(actual - expected):+,}", passed=expected == actual)


def conclude(gate: str, comparisons: Iterable[Comparison], *, summary: Comparison, good: str, bad: str) -> Verdict:
    """A control passes when each of its lines does; no line, nothing to refuse.

    The summary's figures stand for the whole; when they agree although a line fails, the first failing line stands
    for it.
    """
    lines = tuple(comparisons)
    failing = [line for line in lines if not line.passed]
    shown = failing[0] if failing and summary.passed else summary
    named = "; ".join(
        f"{line.measure}: expected {line.expected}, found {line.actual}" for line in failing[:CULPRITS_NAMED]
    )
    return Verdict(
        gate, not failing, shown.expected, shown.actual, shown.difference, f"{bad}: {named}" if failing else good, lines
    )
