"""What a version of the rules that nobody has approved yet would book otherwise in a month (B2).

While a version waits for its approval, the one before posts. That is right, and has to be seen: whoever delivered the
change believes that it is in use. Here: what differs in the month, and how it is told. Not here: which version is in
use (storage/rules), and whether anybody approved it (rule_proofs).
"""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Final

from ledger_assets.accounting.months import first_day
from ledger_assets.accounting.templates import RuleSet, Template
from ledger_assets.accounting.verdicts import Comparison, Verdict

NAME: Final = "no_version_waits_for_approval"
"""The check on journal_templates. It warns: the approved rules are sound, and the month may be posted by them."""


@dataclass(frozen=True)
class Change:
    """Something that the waiting version would do otherwise, and from which day on; None is any day."""

    what: str
    effective_from: date | None

    def __str__(self) -> str:
        return self.what if self.effective_from is None else f"{self.what}, effective {self.effective_from}"


@dataclass(frozen=True)
class WaitingVersion:
    """A version that waits for approval, and what of it concerns the month that is looked at.

    Attributes:
        name, version: of the rule set.
        used: the version that posts meanwhile.
        prepared_by, stored_at: who answers for it, and since when it has waited as it is now.
        changes: empty when it would book the month as the one in use does.
    """

    name: str
    version: int
    used: int
    prepared_by: str
    stored_at: datetime
    changes: tuple[Change, ...]

    @property
    def fix(self) -> str:
        command = f"ledger-assets approve-rules {self.name} {self.version} --as NAME"
        return f"let a second person review and approve it: {command}"

    def __str__(self) -> str:
        since = f"{self.stored_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        changes = "; ".join(map(str, self.changes))
        return (
            f"rule set {self.name} v{self.version} waits for approval, v{self.used} posts meanwhile: "
            f"prepared by {self.prepared_by}, stored {since}; it changes {changes}"
        )


def changes_in(used: RuleSet, waiting: RuleSet, period: str | None) -> tuple[Change, ...]:
    """What differs for transactions of the month; without a month, for those of any day.

    A template of which only the dates differ differs in the month only where it begins or ends within it.
    """
    first, last = date.min, date.max
    if period is not None:
        first = first_day(period)
        last = first.replace(day=monthrange(first.year, first.month)[1])
    return tuple(_changes(used, waiting, first, last))


def _changes(used: RuleSet, waiting: RuleSet, first: date, last: date) -> Iterator[Change]:
    before, then = _in_month(used, first, last), _in_month(waiting, first, last)
    changed = {key for key in before.keys() | then.keys() if before.get(key) != then.get(key)}
    for key in sorted(changed):
        if key in then:
            yield Change(then[key].name, _of(waiting, key).effective_from)
        elif not any(code == key[0] for code, _ in changed & then.keys()):  # else its successor is named
            yield Change(f"{before[key].name}, which it takes out", None)
    if used.overrides != waiting.overrides:
        yield Change("account overrides", None)
    if used.products != waiting.products:
        yield Change("the list of products", None)


def _in_month(rules: RuleSet, first: date, last: date) -> dict[tuple[str, int], Template]:
    """The templates that apply on some day of the month, with their dates only as far as they lie within it."""
    return {
        one.key: replace(
            one,
            effective_from=max(one.effective_from, first),
            effective_to=None if one.effective_to is None or one.effective_to >= last else one.effective_to,
        )
        for one in rules.templates
        if one.is_enabled and one.effective_from <= last and (one.effective_to is None or one.effective_to >= first)
    }


def _of(rules: RuleSet, key: tuple[str, int]) -> Template:
    return next(template for template in rules.templates if template.key == key)


def verdict(name: str, waiting: WaitingVersion | None) -> Verdict:
    """What the check says of rule set `name`; `waiting` is the newest version that waits, None when none does."""
    if waiting is None or not waiting.changes:
        why = f"v{waiting.version} waits, and changes nothing of this month" if waiting else "no version waits"
        return Verdict(
            NAME,
            passed=True,
            expected="none waits",
            actual="none waits",
            difference="",
            detail=f"rule set {name}: {why}",
            comparisons=(),
        )
    lines = [
        Comparison(
            change.what,
            f"approved, in rule set {waiting.name} v{waiting.version}",
            f"waits; effective {change.effective_from}" if change.effective_from else "waits",
            "",
            passed=False,
        )
        for change in waiting.changes
    ]
    return Verdict(
        NAME,
        passed=False,
        expected="none waits",
        actual=f"rule set {waiting.name} v{waiting.version} waits",
        difference="",
        detail=f"{waiting}. Fix: {waiting.fix}",
        comparisons=tuple(lines),
    )
