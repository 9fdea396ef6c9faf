"""All the situations that conditions can tell apart: how a statement about every transaction is proven.

Here: from conditions to a finite list of situations, so that something holds for every transaction if it holds in
every situation. Not here: what is proven with it (rule_coverage).

A comparison with a constant only asks on which side of the constant a value lies. So the constants cut each column
into cells, within which no condition changes its answer, and one value of each cell stands for all: the constant
itself, what comes right after it, and what comes before the first. Two kinds of question ask more than that, LIKE and
comparisons of two columns. Their answers are assumed to be anything (unknown where a column is null). That can only
add situations that do not exist, never leave one out: a proof stays a proof, and what it finds may be harmless.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product
from math import prod
from typing import Final, cast

from ledger_assets.accounting.conditions import Condition
from ledger_assets.accounting.predicates import (
    FIELDS,
    All,
    Atom,
    Comparison,
    Constant,
    Field,
    IsNull,
    Like,
    Membership,
    Node,
    Not,
    Row,
    Some,
    Value,
    all_of,
    atoms,
    not_,
    some_of,
)

MAX_SITUATIONS: Final = 50_000
"""Beyond that many nothing is proven (about a second of work)."""

NULLABLE: Final = frozenset({"channel", "policy_id", "currency", "txn_date"})
"""Columns in which a transaction may have no value."""


@dataclass(frozen=True)
class Situation:
    """One value for every column that matters, and an answer for every question that is not about constants."""

    row: Row
    assumed: Mapping[Atom, bool]

    def holds(self, condition: Condition) -> bool:
        """Whether the condition is true here."""
        return self._truth(condition.node) is True

    def _truth(self, node: Node) -> bool | None:
        match node:
            case Not(part):
                return not_(self._truth(part))
            case All(parts):
                return all_of(map(self._truth, parts))
            case Some(parts):
                return some_of(map(self._truth, parts))
            case _ if node in self.assumed:
                unknown = any(self.row[name] is None for name in _columns(node))
                return None if unknown else self.assumed[node]
            case _:
                return node.truth(self.row)


def situations(
    conditions: Iterable[Condition], landmarks: Mapping[str, Iterable[Value]], fixed: Row
) -> Iterator[Situation] | None:
    """Every situation that the conditions, and comparisons with the landmarks, can tell apart.

    Args:
        conditions: what will be asked.
        landmarks: further values by column at which something changes.
        fixed: columns that have one known value.

    Returns:
        The situations, or None if there are more than `MAX_SITUATIONS`.
    """
    questions = {atom for condition in conditions for atom in atoms(condition.node)}
    found: dict[str, set[Value]] = defaultdict(set)
    for name, values in landmarks.items():
        found[name].update(values)
    assumed = []
    for atom in questions:
        names = _columns(atom)
        for name in names:
            found[name].update(_constants(atom))
        if not (_is_about_constants(atom) or names <= fixed.keys()):
            assumed.append(atom)
    columns = {name: [value] for name, value in fixed.items()}
    columns |= {name: _cells(name, values) for name, values in found.items() if name not in fixed}
    answers = [(True, False)] * len(assumed)
    if prod(map(len, [*columns.values(), *answers])) > MAX_SITUATIONS:
        return None
    return (
        Situation(dict(zip(columns, row, strict=True)), dict(zip(assumed, answer, strict=True)))
        for row in product(*columns.values())
        for answer in product(*answers)
    )


def can_all_hold(conditions: Iterable[Condition]) -> bool:
    """Whether there may be a transaction for which all the conditions hold; False only if it is proven that not."""
    conditions = list(conditions)
    every = situations(conditions, {}, {})
    return every is None or any(all(map(situation.holds, conditions)) for situation in every)


def _cells(name: str, landmarks: set[Value]) -> list[Value | None]:
    """One value of each cell that the landmarks cut the column into."""
    match FIELDS[name]:
        case "text":
            # Nothing lies between a text and the same text with the smallest character behind it.
            texts = cast("set[str]", landmarks)
            values: set[Value | None] = {"", *texts, *(text + "\x00" for text in texts)}
        case "amount":
            amounts = cast("set[int]", landmarks)
            values = {min(amounts, default=0) - 1, *amounts, *(amount + 1 for amount in amounts)}
        case "date":
            days = cast("set[date]", landmarks)
            after = (day + timedelta(days=1) for day in days if day < date.max)
            values = {date.min, *days, *after}
    # All of one type, whichever it is.
    ordered = cast("list[Value | None]", sorted(cast("set[int]", values)))
    return [*ordered, None] if name in NULLABLE else ordered


def _is_about_constants(atom: Atom) -> bool:
    match atom:
        case Like():
            return False
        case Comparison(_, left, right):
            return isinstance(left, Constant) or isinstance(right, Constant)
    return True


def _columns(atom: Atom) -> set[str]:
    match atom:
        case Comparison(_, left, right):
            return {operand.name for operand in (left, right) if isinstance(operand, Field)}
        case Membership(field) | Like(field) | IsNull(field):
            return {field.name}


def _constants(atom: Atom) -> set[Value]:
    match atom:
        case Comparison(_, left, right):
            return {operand.content for operand in (left, right) if isinstance(operand, Constant)}
        case Membership(_, values):
            return set(values)
    return set()
