"""Coverage: holes and ambiguities are found before a transaction falls into them."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ledger_assets.accounting.conditions import parse_condition
from ledger_assets.accounting.rule_coverage import check_conditions, check_coverage, check_versions
from ledger_assets.accounting.situations import MAX_SITUATIONS, NULLABLE, can_all_hold
from ledger_assets.accounting.templates import RuleSet
from ledger_assets_tests.accounting.rule_examples import DAYS, match, rule_set, template, transaction
from ledger_assets_tests.accounting.test_conditions import conditions, rows

NEW_YEAR = date(2025, 1, 1)
EVE = date(2024, 12, 31)


def _one(*matches, **changes) -> RuleSet:
    return rule_set(template(matches=matches, **changes))


@pytest.mark.parametrize(
    "rules",
    [
        _one(match()),
        _one(match(product="P")),
        _one(match("channel = 'WEB'", priority=1), match()),
        _one(match("gross_amount > 5.00"), match("gross_amount <= 5.00")),
        _one(match("channel IN ('A', 'B')"), match("channel NOT IN ('A', 'B')"), match("channel IS NULL")),
        _one(match("policy_id LIKE 'X%'"), match("policy_id NOT LIKE 'X%'"), match("policy_id IS NULL")),
        rule_set(template("A", matches=[match(channel="WEB", priority=1)]), template("B")),
        rule_set(
            template("A", matches=[match("policy_id LIKE 'X%' AND channel = 'A'")]),
            template("B", matches=[match("channel = 'B'")]),
            template("C", matches=[match(priority=200)]),
        ),
        rule_set(template(effective_to=EVE), template(version=2, effective_from=NEW_YEAR)),
        rule_set(template(), template(version=2, is_enabled=False)),
        rule_set(
            template("A", matches=[match("bank_value_date < '2025-01-01'")]), template("B", effective_from=NEW_YEAR)
        ),
    ],
)
def test_rules_that_cover_everything_once(rules: RuleSet) -> None:
    assert [*check_coverage(rules), *check_versions(rules), *check_conditions(rules)] == []


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (_one(match(product="Q")), "PREMIUM of P: no template applies"),
        (_one(match(channel="WEB")), "no template applies, for instance to bank_value_date '1900-01-01', channel ''"),
        (_one(match("gross_amount > 5.00"), match("gross_amount < 5.00")), "gross_amount '500'"),
        (_one(match("channel = 'A'"), match("channel <> 'A'")), "channel null"),
        (_one(match("policy_id LIKE 'X%'"), match("policy_id NOT LIKE 'X%'")), "no template applies"),
        (
            rule_set(template(effective_to=EVE), template(version=2, effective_from=date(2025, 1, 2))),
            "date '2025-01-01'",
        ),
        (_one(match(), effective_to=EVE), "date '2025-01-01'"),
        (_one(match(), is_enabled=False), "no template applies"),
        (rule_set(template("A"), template("B")), "template A v1 and template B v1 apply with the same priority"),
        (
            rule_set(template("A"), template("B", matches=[match(channel="WEB")])),
            "apply with the same priority, for instance to bank_value_date '1900-01-01', channel 'WEB'",
        ),
        (
            rule_set(
                template("A", matches=[match("channel = 'A'"), match(priority=200)]),
                template("B", matches=[match("policy_id LIKE 'B%'")]),
            ),
            "template A v1 and template B v1 apply with the same priority",
        ),
    ],
)
def test_holes_and_ambiguities_are_found_with_an_example(rules: RuleSet, message: str) -> None:
    findings = check_coverage(rules)
    assert all(finding.fix for finding in findings)
    assert message in "\n".join(map(str, findings))


def test_only_the_days_asked_for_have_to_be_covered() -> None:
    rules = _one(match(), effective_from=NEW_YEAR, effective_to=date(2025, 12, 31))
    assert check_coverage(rules, NEW_YEAR, date(2025, 12, 31)) == []
    assert check_coverage(rules, EVE, date(2025, 12, 31))
    assert check_coverage(rules, NEW_YEAR, date(2026, 1, 1))
    assert check_coverage(rules)


def test_a_recognised_type_without_a_template_is_a_hole() -> None:
    rules = rule_set(template())
    income = replace(rules.chart["income"], recognises=("CLAIM", "ujroh_amount"))
    accounts = tuple(income if one.account_code == "income" else one for one in rules.accounts)
    assert [one.culprit for one in check_coverage(replace(rules, accounts=accounts))] == ["CLAIM of P"]


def test_too_many_cases_are_no_proof() -> None:
    wide = " AND ".join(
        f"{name} > {number}.00"
        for name in ("gross_amount", "tabarru_amount", "tanahud_amount", "ujroh_amount")
        for number in range(10)
    )
    (finding,) = check_coverage(_one(match(wide, priority=1), match()))
    assert "too many cases" in finding.message
    assert MAX_SITUATIONS < 21**4


def test_versions_that_overlap_are_found() -> None:
    rules = rule_set(template(effective_to=NEW_YEAR), template(version=2, effective_from=NEW_YEAR))
    (finding,) = check_versions(rules)
    assert "both in effect from 2025-01-01" in finding.message
    assert check_versions(rule_set(template("A"), template("B"))) == []


def test_conditions_that_never_hold_are_found() -> None:
    (finding,) = check_conditions(_one(match("channel = 'A' AND channel = 'B'"), match()))
    assert "never true: channel = 'A'" in finding.message


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("channel = 'A'", "channel = 'B'", False),
        ("channel = 'A'", "channel IN ('A', 'B')", True),
        ("channel = 'A'", "channel IS NULL", False),
        ("channel < 'B'", "channel >= 'B'", False),
        ("channel > 'A'", "channel < 'AA'", True),
        ("gross_amount < 5.00", "gross_amount > 4.99", False),
        ("gross_amount < 5.01", "gross_amount > 4.99", True),
        ("gross_amount BETWEEN 1 AND 2", "gross_amount BETWEEN 2.01 AND 3", False),
        ("txn_date = '2025-01-31'", "txn_date >= DATE '2025-02-01'", False),
        ("channel = 'A' AND policy_id LIKE 'X%'", "channel = 'B'", False),
        ("policy_id LIKE 'X%'", "NOT policy_id LIKE 'X%'", False),
        # Not decided, so taken to be possible.
        ("policy_id LIKE 'X%'", "policy_id LIKE 'Y%'", True),
        ("txn_date > bank_value_date", "txn_date < bank_value_date", True),
    ],
)
def test_which_conditions_exclude_each_other(one: str, other: str, together: bool) -> None:
    assert can_all_hold([parse_condition(one), parse_condition(other)]) is together
    assert can_all_hold([parse_condition(other), parse_condition(one)]) is together


@settings(deadline=None)
@given(conditions, conditions, rows)
def test_what_is_proven_impossible_never_happens(one: str, other: str, row) -> None:
    both = [parse_condition(one), parse_condition(other)]
    assume(all(value is not None for name, value in row.items() if name not in NULLABLE))
    if all(condition.holds(row) for condition in both):
        assert can_all_hold(both)


matches = st.builds(
    match,
    st.sampled_from(
        [
            None,
            "gross_amount > 5.00",
            "gross_amount <= 5.00",
            "channel = 'WEB'",
            "currency IS NULL",
            "policy_id LIKE 'P%'",
        ]
    ),
    product=st.sampled_from(["P", None]),
    channel=st.sampled_from(["WEB", "BANK", None]),
    priority=st.integers(1, 3),
)
rule_sets = st.lists(
    st.tuples(st.lists(matches, min_size=1, max_size=3), st.sampled_from(DAYS[:3]), st.sampled_from([None, *DAYS])),
    min_size=1,
    max_size=3,
).map(
    lambda items: rule_set(
        *(
            template(f"T{number}", matches=some, effective_from=first, effective_to=last and max(first, last))
            for number, (some, first, last) in enumerate(items)
        )
    )
)
any_transaction = st.builds(
    transaction,
    channel=st.sampled_from(["WEB", "BANK", "AGENT", None]),
    currency=st.sampled_from(["IDR", None]),
    policy_id=st.sampled_from(["POL", "X", None]),
    gross_amount=st.sampled_from([0, 500, 501]),
    bank_value_date=st.sampled_from([day + timedelta(days=move) for day in DAYS for move in (0, 1)]),
)


@settings(deadline=None, max_examples=300)
@given(rule_sets, st.lists(any_transaction, min_size=1, max_size=10))
def test_no_transaction_falls_through_rules_that_pass(rules: RuleSet, table) -> None:
    first = min(one.effective_from for one in rules.templates)
    if not check_coverage(rules):
        for row in table:
            if row["bank_value_date"] >= first:
                assert len(rules.templates_for(row)) == 1
