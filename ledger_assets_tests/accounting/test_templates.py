"""Rule sets: what they refuse, which template a transaction takes, and a hash that only content changes."""

from dataclasses import fields, replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_assets.accounting.errors import RuleError
from ledger_assets.accounting.rule_files import load_rule_set
from ledger_assets.accounting.templates import AccountOverride, RuleSet, Template
from ledger_assets_tests.accounting.rule_examples import line, match, rule_set, template, transaction


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: template(matches=[]), "a match and two lines"),
        (lambda: template("T", line(1, "DR", "cash", "OPERATOR", ":gross_amount")), "a match and two lines"),
        (lambda: template(code=" "), "a code, a version"),
        (lambda: template(version=0), "a code, a version"),
        (lambda: template(source_type=""), "a code, a version"),
        (lambda: template(effective_to=date(1899, 12, 31)), "ends before it starts"),
        (lambda: line(0, "DR", "cash", "OPERATOR", "1"), "numbers run from 1"),
        (lambda: line(1, "DR", "cash", "OPERATOR", "1", entry=2**15), "numbers run from 1"),
        (lambda: replace(line(1, "DR", "cash", "OPERATOR", "1"), side="DEBIT"), "no side 'DEBIT'"),
        (lambda: rule_set(template(), template()), "each template occurs once"),
        (lambda: rule_set(overrides=[AccountOverride("P", None, "a", x) for x in "bc"]), "each override occurs once"),
        (lambda: replace(rule_set(), accounts=rule_set().accounts * 2), "each account occurs once"),
    ],
)
def test_rules_that_cannot_be_are_refused(make, rule):
    with pytest.raises(RuleError, match=rule):
        make()


def test_lines_and_entries_are_numbered_properly():
    good = [line(number, side, "cash", "OPERATOR", ":gross_amount") for number, side in ((1, "DR"), (2, "CR"))]
    with pytest.raises(RuleError, match="occurs once in an entry"):
        template("T", good[0], replace(good[1], line_number=1))
    with pytest.raises(RuleError, match="without a gap"):
        template("T", good[0], replace(good[1], entry=3))


def _codes(rules: RuleSet, **changes: object) -> list[str]:
    return [one.code for one in rules.templates_for(transaction(**changes))]


def test_the_smallest_priority_wins_and_equal_ones_are_all_returned():
    rules = rule_set(
        template("ANY", matches=[match(priority=100)]),
        template("BANK", matches=[match(channel="BANK", priority=20)]),
        template(
            "LARGE", matches=[match("gross_amount > 5000.00", priority=20), match("currency = 'USD'", priority=20)]
        ),
        template("OFF", matches=[match(priority=1)], is_enabled=False),
        template("CLAIMS", source_type="CLAIM"),
    )
    assert _codes(rules) == ["ANY"]
    assert _codes(rules, channel="BANK") == ["BANK"]
    assert _codes(rules, gross_amount=500_001, currency="USD") == ["LARGE"]
    assert _codes(rules, channel="BANK", currency="USD") == ["BANK", "LARGE"]
    assert _codes(rules, txn_type="CLAIM") == ["CLAIMS"]
    assert _codes(rules, txn_type="REFUND") == []
    assert _codes(rules, channel=None) == ["ANY"]


def test_effective_dates_include_both_ends():
    rules = rule_set(template(effective_from=date(2025, 1, 1), effective_to=date(2025, 1, 31)))
    days = [date(2024, 12, 31), date(2025, 1, 1), date(2025, 1, 31), date(2025, 2, 1)]
    assert [_codes(rules, bank_value_date=day) for day in days] == [[], ["T"], ["T"], []]


SHIPPED = load_rule_set("combined")


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_hash_does_not_depend_on_order(random):
    def shuffled(items):
        return tuple(random.sample(items, len(items)))

    templates = [replace(one, matches=shuffled(one.matches), lines=shuffled(one.lines)) for one in SHIPPED.templates]
    again = replace(
        SHIPPED,
        accounts=shuffled(SHIPPED.accounts),
        products=shuffled(SHIPPED.products),
        templates=shuffled(templates),
    )
    assert again == SHIPPED
    assert again.content_hash() == SHIPPED.content_hash()


def _edits() -> list[RuleSet]:
    """Every attribute of the rule set, of one template, match, line, account and override changed, one at a time."""
    base = replace(SHIPPED, overrides=(AccountOverride("FAMILY-001", None, "4210-10", "4210-10"),))
    first: Template = base.templates[0]
    other = {
        "name": "x",
        "version": 9,
        "prepared_by": "x",
        "products": ("x",),
        "code": "x",
        "source_type": "x",
        "description": "x",
        "effective_from": date(1950, 1, 1),
        "effective_to": date(2050, 1, 1),
        "requires_approval": False,
        "is_enabled": False,
        "product_code": "x",
        "channel": "x",
        "priority": 7,
        "condition": match("channel = 'x'").condition,
        "line_number": 99,
        "account_code": "x",
        "fund": "x",
        "side": "DR",
        "amount": line(1, "DR", "x", "x", ":gross_amount * 1").amount,
        "takes_remainder": True,
        "account_type": "LIABILITY",
        "is_open": False,
        "mirror_account_code": "x",
        "replacement_account_code": "x",
    }

    def edits(item, skip=()):
        return [replace(item, **{f.name: other[f.name]}) for f in fields(item) if f.name not in skip]

    changed_templates = edits(first, ("matches", "lines"))
    changed_templates += [replace(first, matches=(one, *first.matches[1:])) for one in edits(first.matches[0])]
    changed_templates += [replace(first, lines=(one, *first.lines[1:])) for one in edits(first.lines[0], ("entry",))]
    changed_templates.append(replace(first, lines=first.lines[1:]))
    result = edits(base, ("accounts", "templates", "overrides"))
    result += [replace(base, templates=(one, *base.templates[1:])) for one in changed_templates]
    cash = base.accounts[0]
    result += [replace(base, accounts=(one, *base.accounts[1:])) for one in edits(cash, ("recognises",))]
    result += [replace(base, overrides=(one,)) for one in edits(base.overrides[0])]
    return [*result, base, SHIPPED]


def test_any_edit_changes_the_hash():
    hashes = [edited.content_hash() for edited in _edits()]
    assert len(hashes) > 30
    assert len(set(hashes)) == len(hashes)
    assert all(len(one) == 64 for one in hashes)


def test_the_hash_of_the_shipped_rules_is_pinned():
    """A change of the canonical form would void every approval that anybody keeps: raise HASH_FORMAT knowingly."""
    assert SHIPPED.content_hash() == "42087fc4998bca85bcf66ff29396764f2e35cc8317ab647e511fa39f37417456"


def test_overrides_by_product_and_channel():
    rules = rule_set(
        template(),
        overrides=[AccountOverride("P", None, "fees", "fees-2"), AccountOverride("P", "WEB", "fees", "due-to")],
    )
    assert rules.account_for("fees", "P", "AGENT") == "fees-2"
    assert rules.account_for("fees", "P", None) == "fees-2"
    assert rules.account_for("fees", "P", "WEB") == "due-to"
    assert rules.account_for("fees", "Q", "WEB") == "fees"
    assert rules.account_for("cash", "P", "WEB") == "cash"
