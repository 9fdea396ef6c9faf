"""Proofs that every transaction a rule set promises to cover takes exactly one template.

Here: holes, ambiguities, overlapping versions, and conditions that never hold. Not here: what the templates do
(rule_proofs), and how all transactions are cut into finitely many situations (situations).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import combinations, groupby
from typing import cast

from ledger_assets.accounting.rule_findings import Finding
from ledger_assets.accounting.situations import Situation, can_all_hold, situations
from ledger_assets.accounting.templates import RuleSet, Template, TemplateMatch


def check_versions(rule_set: RuleSet) -> list[Finding]:
    """Two versions of a template are never in effect on the same day."""
    findings = []
    for _, versions in groupby(rule_set.templates, key=lambda template: template.code):
        for older, newer in combinations([template for template in versions if template.is_enabled], 2):
            start = max(older.effective_from, newer.effective_from)
            end = min(older.effective_to or date.max, newer.effective_to or date.max)
            if start <= end:
                message = f"it and v{newer.version} are both in effect from {start}"
                fix = "let effective_to of one be before effective_from of the other"
                findings.append(Finding("versions", older.name, message, fix))
    return findings


def check_conditions(rule_set: RuleSet) -> list[Finding]:
    """Every condition can hold: one that never does is a slip of the pen (`channel = 'A' AND channel = 'B'`)."""
    return [
        Finding("conditions", template.name, f"never true: {match.condition.text}", "correct it or remove the match")
        for template in rule_set.templates
        for match in template.matches
        if match.condition and not can_all_hold([match.condition])
    ]


def check_coverage(rule_set: RuleSet, first: date | None = None, last: date | None = None) -> list[Finding]:
    """Every transaction of the rule set's types and products takes exactly one template.

    Whatever its channel, amounts, currency and policy. A finding may concern transactions that cannot exist, since
    LIKE and comparisons of two columns are taken to answer anything; without findings there is no such transaction.

    Args:
        rule_set: the rules.
        first: first bank_value_date that has to be covered; by default the first day of the oldest template.
        last: last bank_value_date that has to be covered; by default there is none.
    """
    first = first or min((template.effective_from for template in rule_set.templates), default=date.min)
    findings: list[Finding] = []
    for source_type in rule_set.source_types:
        for product in rule_set.products:
            findings += _uncovered(rule_set, _Kind(source_type, product, first, last or date.max))
    return findings


@dataclass(frozen=True)
class _Kind:
    """Transactions whose coverage is decided together."""

    source_type: str
    product: str
    first: date
    last: date

    def __str__(self) -> str:
        return f"{self.source_type} of {self.product}"


def _uncovered(rule_set: RuleSet, kind: _Kind) -> Iterator[Finding]:
    """At most one hole, and one finding for each set of templates that conflict."""
    rules = [
        (template, match)
        for template in rule_set.templates
        if template.is_enabled and template.source_type == kind.source_type
        for match in template.matches
        if match.product_code in (None, kind.product)
    ]
    every = situations(
        [match.condition for _, match in rules if match.condition],
        {"bank_value_date": _turns(rules, kind), "channel": {match.channel for _, match in rules if match.channel}},
        {"txn_type": kind.source_type, "product_code": kind.product},
    )
    if every is None:
        message = "its conditions make too many cases to prove that each has one template"
        yield Finding("coverage", str(kind), message, "use fewer conditions, or columns of the match instead")
        return
    seen: set[tuple[Template, ...]] = set()
    for situation in every:
        if not kind.first <= cast("date", situation.row["bank_value_date"]) <= kind.last:
            continue
        winners = _winners(rules, situation)
        if len(winners) == 1 or winners in seen:
            continue
        seen.add(winners)
        yield _finding(kind, winners, situation)


def _turns(rules: list[tuple[Template, TemplateMatch]], kind: _Kind) -> set[date]:
    """The days on which other templates come into effect."""
    ends = {
        template.effective_to for template, _ in rules if template.effective_to and template.effective_to < date.max
    }
    return {kind.first, *(template.effective_from for template, _ in rules), *(end + timedelta(days=1) for end in ends)}


def _winners(rules: list[tuple[Template, TemplateMatch]], situation: Situation) -> tuple[Template, ...]:
    """The templates with the smallest priority that apply, as `RuleSet.templates_for` decides it."""
    day = cast("date", situation.row["bank_value_date"])
    channel = cast("str | None", situation.row["channel"])
    applying = [
        (match.priority, template)
        for template, match in rules
        if match.channel in (None, channel)
        and template.in_effect(day)
        and (match.condition is None or situation.holds(match.condition))
    ]
    best = min((priority for priority, _ in applying), default=None)
    return tuple(dict.fromkeys(template for priority, template in applying if priority == best))


def _finding(kind: _Kind, winners: tuple[Template, ...], situation: Situation) -> Finding:
    known = {name: value for name, value in situation.row.items() if name not in ("txn_type", "product_code")}
    case = ", ".join(f"{name} {'null' if value is None else repr(str(value))}" for name, value in sorted(known.items()))
    if not winners:
        fix = "add a match without condition, channel and dates, with a larger priority number"
        return Finding("coverage", str(kind), f"no template applies, for instance to {case}", fix)
    names = " and ".join(template.name for template in winners)
    message = f"{names} apply with the same priority, for instance to {case}"
    return Finding("coverage", str(kind), message, "give one of the matches a smaller priority number, so that it wins")
