"""Proofs that a rule set is sound, before anything is posted with it.

Here: what can be decided from accounts, templates, overrides and approvals alone. Not here: whether every transaction
is covered exactly once (rule_coverage). Each check is a pure function from a rule set to findings.

Amounts are linear forms, so "balances for every input" is algebra: debits less credits, with gross written as the sum
of its components, is the zero form. Rounding is the only thing algebra leaves open; that is what the one line with
the remainder is for.
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import reduce
from operator import add

from ledger_assets.accounting.amounts import COMPONENTS, LinearForm
from ledger_assets.accounting.chart import Account, AccountType
from ledger_assets.accounting.entry_amounts import groups
from ledger_assets.accounting.rule_coverage import check_conditions, check_coverage, check_versions
from ledger_assets.accounting.rule_findings import Finding
from ledger_assets.accounting.templates import Approval, RuleSet, Template, TemplateLine


def check_rules(rule_set: RuleSet, approvals: Sequence[Approval]) -> list[Finding]:
    """Every check of this module and of rule_coverage, in the order in which faults are best put right."""
    return [
        *check_accounts(rule_set),
        *check_mirrors(rule_set),
        *check_overrides(rule_set),
        *check_balance(rule_set),
        *check_recognition(rule_set),
        *check_versions(rule_set),
        *check_conditions(rule_set),
        *check_coverage(rule_set),
        *check_approval(rule_set, approvals),
    ]


def check_accounts(rule_set: RuleSet) -> list[Finding]:
    """Every line's account is in the chart, open, and of the line's fund."""
    findings = []
    for template in rule_set.templates:
        for line in template.lines:
            account = rule_set.chart.get(line.account_code)
            culprit = _line(template, line)
            if account is None:
                message, fix = f"account {line.account_code} is not in the chart", "add the account or correct the code"
            elif not account.is_open:
                message, fix = f"account {line.account_code} is closed", "use an open account"
            elif account.fund != line.fund:
                message = f"account {line.account_code} belongs to {account.fund}, the line to {line.fund}"
                fix = f"use an account of {line.fund}"
            else:
                continue
            findings.append(Finding("accounts", culprit, message, fix))
    return findings


def check_balance(rule_set: RuleSet) -> list[Finding]:
    """Each entry balances in each of its funds, for every transaction whose components add up to gross; and if any
    of its lines rounds, exactly one takes the remainder."""
    findings = []
    for template in rule_set.templates:
        for group in groups(template):
            first = group.lines[0]
            culprit = f"{template.name}, entry {first.entry}, fund {first.fund}"
            if not group.movement.is_zero:
                message = f"debits less credits are {group.movement}, not 0"
                findings.append(Finding("balance", culprit, message, "correct the sides or amounts of these lines"))
            remainders = sum(line.takes_remainder for line in group.lines)
            rounds = any(line.amount.form.rounds for line in group.lines)
            if remainders > 1 or (rounds and remainders == 0):
                message = f"amounts are rounded and {remainders} lines take the remainder"
                if not rounds:
                    message = f"{remainders} lines take the remainder"
                findings.append(Finding("balance", culprit, message, "set takes_remainder on exactly one line"))
    return findings


def check_recognition(rule_set: RuleSet) -> list[Finding]:
    """Each template brings each component of its transactions to income or expense exactly once, on the proper side,
    and nothing to accounts that recognise something else.

    That ties the ledger to the source: the total of a component is the movement of the accounts that recognise it.
    """
    findings = []
    for template in rule_set.templates:
        for component in COMPONENTS:
            recognised = _recognised(rule_set, template, component)
            if recognised != LinearForm.variable(component):
                message = f"accounts that recognise {component} of {template.source_type} take {recognised}"
                fix = f"let them take exactly :{component}: income accounts on CR, expense accounts on DR"
                findings.append(Finding("recognition", template.name, message, fix))
        for line in template.lines:
            account = rule_set.chart.get(line.account_code)
            if account and account.recognises and account.recognises[0] != template.source_type:
                message = f"account {account.account_code} is for {account.recognises[0]} transactions"
                fix = f"use an account that recognises {template.source_type}"
                findings.append(Finding("recognition", _line(template, line), message, fix))
    return findings


def check_mirrors(rule_set: RuleSet) -> list[Finding]:
    """Mirror accounts name each other across two funds, and every entry moves both by the same amount, on opposite
    sides: what one fund owes is always what the other is owed."""
    findings = []
    for account in rule_set.accounts:
        culprit = f"account {account.account_code}"
        mirror = rule_set.chart.get(account.mirror_account_code or "")
        if account.mirror_account_code is None:
            continue
        if mirror is None or mirror.mirror_account_code != account.account_code:
            message = f"its mirror {account.mirror_account_code} does not name it in turn"
            findings.append(Finding("mirrors", culprit, message, "let both accounts name each other"))
        elif {account.account_type, mirror.account_type} != {AccountType.ASSET, AccountType.LIABILITY}:
            message = f"it and its mirror {mirror.account_code} are not an asset and a liability"
            findings.append(Finding("mirrors", culprit, message, "pair a due-from asset with a due-to liability"))
        elif account.fund == mirror.fund:
            message = f"its mirror {mirror.account_code} is in the same fund"
            findings.append(Finding("mirrors", culprit, message, "pair accounts of two funds"))
        elif account.account_code < mirror.account_code:  # each pair once
            findings += _unmirrored(rule_set, account, mirror)
    return findings


def check_overrides(rule_set: RuleSet) -> list[Finding]:
    """An override replaces an account by an open one of the same fund and type that recognises the same, and neither
    has a mirror: then everything proven about a template holds with its overrides too."""
    findings = []
    used = {line.account_code for template in rule_set.templates for line in template.lines}
    for override in rule_set.overrides:
        culprit = f"override of {override.account_code} for {override.product_code}/{override.channel or 'any'}"
        account = rule_set.chart.get(override.account_code)
        other = rule_set.chart.get(override.replacement_account_code)
        if account is None or other is None or not other.is_open:
            message = "one of its accounts is not in the chart, or the replacement is closed"
            findings.append(Finding("overrides", culprit, message, "name open accounts of the chart"))
            continue
        if (account.fund, account.account_type, account.recognises) != (
            other.fund,
            other.account_type,
            other.recognises,
        ):
            message = f"{other.account_code} differs from it in fund, type or what it recognises"
            findings.append(Finding("overrides", culprit, message, "name an account that agrees in all three"))
        if account.mirror_account_code or other.mirror_account_code:
            message = "an account with a mirror cannot be replaced on one side"
            findings.append(Finding("overrides", culprit, message, "override accounts without mirror only"))
        if override.account_code not in used or override.product_code not in rule_set.products:
            message = "no template line uses the account, or the product is not one of the rule set"
            findings.append(Finding("overrides", culprit, message, "remove it or correct its codes"))
    return findings


def check_approval(rule_set: RuleSet, approvals: Iterable[Approval]) -> list[Finding]:
    """A second person approved exactly this content. Not asked of a set none of whose templates requires it."""
    if not any(template.requires_approval for template in rule_set.templates):
        return []
    mine = [one for one in approvals if (one.rule_set, one.version) == (rule_set.name, rule_set.version)]
    current = [one for one in mine if one.sha256 == rule_set.content_hash()]
    if any(_person(one.approved_by) not in ("", _person(rule_set.prepared_by)) for one in current):
        return []
    if current:
        message = f"it is approved by {current[0].approved_by}, who prepared it"
        fix = "let a second person approve it"
    elif mine:
        message = f"it was changed after its approval; its hash is now {rule_set.content_hash()}"
        fix = "raise the version and have the change approved"
    else:
        message, fix = "it has no approval", f"have a second person approve hash {rule_set.content_hash()}"
    return [Finding("approval", rule_set.title, message, fix)]


def _recognised(rule_set: RuleSet, template: Template, component: str) -> LinearForm:
    """What accounts that recognise a component take: credits on income accounts, debits on expense accounts."""
    total = LinearForm()
    for line in template.lines:
        account = rule_set.chart.get(line.account_code)
        if account and account.recognises == (template.source_type, component):
            proper = line.side.sign if account.account_type is AccountType.EXPENSE else -line.side.sign
            total += line.amount.form.times(Fraction(proper))
    return total.in_components()


def _unmirrored(rule_set: RuleSet, account: Account, mirror: Account) -> Iterator[Finding]:
    pair = {account.account_code, mirror.account_code}
    for template in rule_set.templates:
        for entry in range(1, template.entry_count + 1):
            lines = [line for line in template.lines if line.entry == entry and line.account_code in pair]
            signed = (line.amount.form.times(Fraction(line.side.sign)) for line in lines)
            movement = reduce(add, signed, LinearForm()).in_components()
            # Rounded amounts are surely equal only if they are the same, and a remainder falls on one of them alone.
            rounds = any(line.amount.form.rounds for line in lines) and len({line.amount.form for line in lines}) > 1
            if not movement.is_zero or rounds or any(line.takes_remainder for line in lines):
                culprit = f"{template.name}, entry {entry}"
                message = f"accounts {' and '.join(sorted(pair))} do not move by the same amount"
                yield Finding("mirrors", culprit, message, "debit one and credit the other with the same expression")


def _line(template: Template, line: TemplateLine) -> str:
    return f"{template.name}, entry {line.entry}, line {line.line_number}"


def _person(name: str) -> str:
    """A name as far as it tells persons apart: blanks around it and capitals do not."""
    return name.strip().casefold()
