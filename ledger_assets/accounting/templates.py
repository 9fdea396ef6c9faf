"""Accounting rules as data (B2): templates, what they apply to, and the rule set that holds them together.

Here: the dataclasses, what can be wrong with one of them on its own, and which template a transaction takes. Not
here: where rules are stored (rule_files, the database), and whether a rule set is sound as a whole (rule_proofs).

Which template a transaction takes: of all enabled templates of its type that are in effect on its bank_value_date,
every match is tried; the applying match with the smallest priority number wins. None is the exception NO_TEMPLATE,
two templates with the same smallest number are the exception AMBIGUOUS_TEMPLATE.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Final, cast

from ledger_assets.accounting.amounts import AmountExpression
from ledger_assets.accounting.chart import Account
from ledger_assets.accounting.conditions import Condition
from ledger_assets.accounting.errors import RuleError
from ledger_assets.accounting.predicates import Row

HASH_FORMAT: Final = 1
"""Part of the hashed text: a later change of the canonical form cannot be mistaken for a change of the rules."""

MAX_SMALLINT: Final = 2**15 - 1


class Side(StrEnum):
    """Debit or credit."""

    DR = "DR"
    CR = "CR"

    @property
    def sign(self) -> int:
        """The sign of a line of this side: debits are positive."""
        return 1 if self is Side.DR else -1


@dataclass(frozen=True)
class TemplateLine:
    """One line of a template.

    Attributes:
        line_number: its number within its entry, from 1.
        entry: which of the entries that the template makes from one transaction, from 1.
        side: DR or CR.
        account_code: the account, before overrides.
        fund: the fund of the account; written down so that a wrong account is noticed.
        amount: how much; never below zero, the side says the direction.
        takes_remainder: whether the rounding differences of its entry and fund land on this line.

    Raises:
        RuleError: an unknown side, or numbers out of range.
    """

    line_number: int
    entry: int
    side: Side
    account_code: str
    fund: str
    amount: AmountExpression
    takes_remainder: bool = False

    def __post_init__(self) -> None:
        culprit = f"line {self.line_number} of entry {self.entry}"
        if self.side not in set(Side):
            raise RuleError(culprit, f"there is no side {self.side!r}", "write DR or CR")
        object.__setattr__(self, "side", Side(self.side))
        if not (1 <= self.line_number <= MAX_SMALLINT and 1 <= self.entry <= MAX_SMALLINT):
            raise RuleError(culprit, f"numbers run from 1 to {MAX_SMALLINT}", "number lines and entries from 1")


@dataclass(frozen=True)
class TemplateMatch:
    """To which transactions of its type a template applies.

    Attributes:
        product_code: a product, or None for any.
        channel: a channel, or None for any (also for none at all).
        condition: what must hold besides, or None.
        priority: the smallest number wins.
    """

    product_code: str | None = None
    channel: str | None = None
    condition: Condition | None = None
    priority: int = 100

    def concerns(self, product_code: str | None, channel: str | None) -> bool:
        """Whether it applies to this product and channel, its condition aside."""
        return self.product_code in (None, product_code) and self.channel in (None, channel)


@dataclass(frozen=True)
class Template:
    """How one type of transaction becomes journal entries.

    Attributes:
        code, version: its key within the rule set.
        source_type: the txn_type that it applies to.
        description: what a reader of the ledger sees with each entry.
        effective_from, effective_to: first and last bank_value_date that it applies to; None is open-ended.
        requires_approval: whether a rule set with this template needs approval by a second person before it posts.
        is_enabled: a template that is not enabled applies to nothing.
        matches: in the order in which they are tried.
        lines: ordered by entry and line number.

    Raises:
        RuleError: no match, fewer than two lines, a line number twice, entries not numbered 1, 2, 3 ..., or an end
            before its start.
    """

    code: str
    version: int
    source_type: str
    description: str
    effective_from: date
    matches: tuple[TemplateMatch, ...]
    lines: tuple[TemplateLine, ...]
    effective_to: date | None = None
    requires_approval: bool = True
    is_enabled: bool = True

    def __post_init__(self) -> None:
        # One order, whoever wrote it down: the hash must not depend on the order of rows in a file or a table.
        matches = sorted(self.matches, key=lambda match: (match.priority, _canonical(match)))
        object.__setattr__(self, "matches", tuple(matches))
        object.__setattr__(self, "lines", tuple(sorted(self.lines, key=lambda line: (line.entry, line.line_number))))
        if not self.code.strip() or not self.source_type.strip() or self.version < 1:
            raise RuleError(self.name, "a template has a code, a version from 1 and a source type", "fill them in")
        if not self.matches or len(self.lines) < 2:
            raise RuleError(self.name, "a template has a match and two lines or more", "add what is missing")
        if self.effective_to is not None and self.effective_to < self.effective_from:
            raise RuleError(self.name, "it ends before it starts", "set effective_to on or after effective_from")
        if {line.entry for line in self.lines} != set(range(1, self.entry_count + 1)):
            raise RuleError(self.name, "entries are numbered 1, 2, 3 ...", "number the entries without a gap")
        if len({(line.entry, line.line_number) for line in self.lines}) < len(self.lines):
            raise RuleError(self.name, "a line number occurs once in an entry", "number the lines of each entry")

    @property
    def key(self) -> tuple[str, int]:
        """Code and version."""
        return self.code, self.version

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"template {self.code} v{self.version}"

    @property
    def entry_count(self) -> int:
        """How many entries it makes from one transaction, at most."""
        return max(line.entry for line in self.lines)

    def in_effect(self, day: date) -> bool:
        """Whether it applies on this bank_value_date."""
        return (
            self.is_enabled and self.effective_from <= day and (self.effective_to is None or day <= self.effective_to)
        )


@dataclass(frozen=True)
class AccountOverride:
    """For one product, and one channel or all, another account takes the place of the template's (product_account_map).

    An override for the channel beats one for all channels.
    """

    product_code: str
    channel: str | None
    account_code: str
    replacement_account_code: str


@dataclass(frozen=True)
class RuleSet:
    """Everything that decides how transactions become entries.

    Attributes:
        name, version: its key.
        prepared_by: who wrote this version; somebody else approves it.
        accounts: the chart.
        products: the products for which it promises a template on every day, for every channel.
        templates, overrides: the rules.

    Raises:
        RuleError: an account, a template or an override occurs twice.
    """

    name: str
    version: int
    prepared_by: str
    accounts: tuple[Account, ...]
    products: tuple[str, ...]
    templates: tuple[Template, ...]
    overrides: tuple[AccountOverride, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "accounts", tuple(sorted(self.accounts, key=lambda account: account.account_code)))
        object.__setattr__(self, "products", tuple(sorted(set(self.products))))
        object.__setattr__(self, "templates", tuple(sorted(self.templates, key=lambda template: template.key)))
        object.__setattr__(self, "overrides", tuple(sorted(self.overrides, key=_canonical)))
        self._refuse_twice("account", (account.account_code for account in self.accounts))
        self._refuse_twice("template", (template.name for template in self.templates))
        self._refuse_twice(
            "override", (f"{o.account_code} for {o.product_code}/{o.channel or 'any'}" for o in self.overrides)
        )

    def _refuse_twice(self, what: str, keys: Iterable[str]) -> None:
        seen: set[str] = set()
        for key in keys:
            if key in seen:
                raise RuleError(f"{self.title}, {what} {key}", f"each {what} occurs once", "remove one of the two")
            seen.add(key)

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"rule set {self.name} v{self.version}"

    @cached_property
    def codes(self) -> frozenset[str]:
        """The types, products and channels that it names."""
        matches = [match for template in self.templates for match in template.matches]
        named = [template.source_type for template in self.templates]
        named += [account.recognises[0] for account in self.accounts if account.recognises]
        named += self.products
        named += [code for rule in matches for code in (rule.product_code, rule.channel) if code]
        named += [code for rule in self.overrides for code in (rule.product_code, rule.channel) if code]
        return frozenset(named)

    @cached_property
    def chart(self) -> dict[str, Account]:
        """The accounts by their code."""
        return {account.account_code: account for account in self.accounts}

    @property
    def source_types(self) -> tuple[str, ...]:
        """The transaction types that it has templates or recognising accounts for."""
        recognised = (account.recognises[0] for account in self.accounts if account.recognises)
        return tuple(sorted({*recognised, *(template.source_type for template in self.templates)}))

    def content_hash(self) -> str:
        """SHA-256 (64 hexadecimal digits) of everything in the rule set: any edit changes it, a reordering does not.

        Expressions count as they are written. Approvals name this hash, so an edit voids them.
        """
        return hashlib.sha256(f"{HASH_FORMAT}\n{_canonical(self)}".encode()).hexdigest()

    def account_for(self, account_code: str, product_code: str | None, channel: str | None) -> str:
        """The account that a line really goes to, for a product and channel."""
        by_channel = self._replacements.get((product_code, account_code), {})
        return by_channel.get(channel) or by_channel.get(None) or account_code

    @cached_property
    def _replacements(self) -> dict[tuple[str | None, str], dict[str | None, str]]:
        found: dict[tuple[str | None, str], dict[str | None, str]] = {}
        for override in self.overrides:
            by_channel = found.setdefault((override.product_code, override.account_code), {})
            by_channel[override.channel] = override.replacement_account_code
        return found

    def templates_for(self, row: Row) -> tuple[Template, ...]:
        """The templates with the smallest priority that apply to one transaction: none, one, or an ambiguity.

        The independent twin of the vectorised matching: one row, plain Python.
        """
        day = cast("date", row["bank_value_date"])
        applying = [
            (match.priority, template)
            for template in self.templates
            if template.source_type == row["txn_type"] and template.in_effect(day)
            for match in template.matches
            if match.concerns(cast("str | None", row["product_code"]), cast("str | None", row["channel"]))
            and (match.condition is None or match.condition.holds(row))
        ]
        best = min((priority for priority, _ in applying), default=None)
        return tuple(dict.fromkeys(template for priority, template in applying if priority == best))


@dataclass(frozen=True)
class Approval:
    """That somebody approved exactly this content of a rule set.

    Attributes:
        rule_set, version: what was approved.
        sha256: `RuleSet.content_hash()` at that moment.
        approved_by: who; never the person who prepared it.
        approved_on: when.
    """

    rule_set: str
    version: int
    sha256: str
    approved_by: str
    approved_on: date


def _canonical(value: object) -> str:
    """One text for one content: fields by name, dates and expressions as text."""
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _plain(value: object) -> object:
    if isinstance(value, AmountExpression | Condition):
        return value.text
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value
