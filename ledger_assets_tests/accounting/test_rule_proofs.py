"""The proofs: what ships passes, every kind of unsound rule is found, and what passes really balances."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_assets.accounting.posting import expand
from ledger_assets.accounting.rule_files import load_approvals, load_rule_set
from ledger_assets.accounting.rule_findings import Finding
from ledger_assets.accounting.rule_proofs import (
    check_accounts,
    check_approval,
    check_balance,
    check_mirrors,
    check_overrides,
    check_recognition,
    check_rules,
)
from ledger_assets.accounting.templates import AccountOverride, Approval, RuleSet, Template
from ledger_assets_tests.accounting.rule_examples import compiled, frame, line, rule_set, template, transaction

COMBINED = load_rule_set("combined")
TODAY = date(2026, 11, 21)


def _with_line(rules: RuleSet, number: int, **changes: object) -> RuleSet:
    """The rule set with a line of its PREMIUM template changed."""
    (premium,) = (one for one in rules.templates if one.source_type == "PREMIUM")
    lines = [replace(one, **changes) if one.line_number == number else one for one in premium.lines]
    others = [one for one in rules.templates if one is not premium]
    return replace(rules, templates=(*others, replace(premium, lines=tuple(lines))))


def _with_account(rules: RuleSet, code: str, **changes: object) -> RuleSet:
    accounts = [replace(one, **changes) if one.account_code == code else one for one in rules.accounts]
    return replace(rules, accounts=tuple(accounts))


def _amount(text: str) -> object:
    return line(1, "DR", "x", "x", text).amount


@pytest.mark.parametrize("name", ["combined", "three_entries"])
def test_what_ships_is_sound_and_approved(name: str) -> None:
    assert check_rules(load_rule_set(name), load_approvals()) == []


def _messages(findings: list[Finding]) -> str:
    assert all(finding.fix and str(finding).startswith(f"[{finding.rule}] {finding.culprit}") for finding in findings)
    return "\n".join(map(str, findings))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"account_code": "9999"}, "line 6: account 9999 is not in the chart"),
        ({"account_code": "4110-30"}, "line 6: account 4110-30 belongs to TANAHUD, the line to TABARRU"),
        ({"fund": "OPERATOR"}, "line 6: account 4110-20 belongs to TABARRU, the line to OPERATOR"),
    ],
)
def test_lines_on_accounts_that_are_not_theirs_are_found(changes: dict[str, object], message: str) -> None:
    (finding,) = check_accounts(_with_line(COMBINED, 6, **changes))
    assert message in str(finding)


def test_lines_on_closed_accounts_are_found() -> None:
    findings = check_accounts(_with_account(COMBINED, "1100-10", is_open=False))
    assert [finding.message for finding in findings] == ["account 1100-10 is closed"] * 2


@pytest.mark.parametrize(
    ("number", "changes", "message"),
    [
        (1, {"side": "CR"}, "fund OPERATOR: debits less credits are -2 * :tabarru_amount"),
        (
            5,
            {"amount": _amount(":ujroh_amount")},
            "fund TABARRU: debits less credits are -1 * :tabarru_amount + 1 * :ujroh",
        ),
        (4, {"amount": _amount(":ujroh_amount + 0.01")}, "fund OPERATOR: debits less credits are -0.01"),
        (4, {"amount": _amount(":gross_amount * 0.2")}, "amounts are rounded and 0 lines take the remainder"),
        (1, {"takes_remainder": True}, None),
    ],
)
def test_templates_that_do_not_balance_are_found(number: int, changes: dict[str, object], message: str | None) -> None:
    found = _messages(check_balance(_with_line(COMBINED, number, **changes)))
    assert message in found if message else not found


def test_two_lines_cannot_take_the_remainder() -> None:
    halves = [line(n, "CR", "fees", "OPERATOR", ":gross_amount * 0.5", rest=True) for n in (2, 3)]
    wrong = rule_set(template("T", line(1, "DR", "cash", "OPERATOR", ":gross_amount"), *halves))
    assert "2 lines take the remainder" in _messages(check_balance(wrong))


@pytest.mark.parametrize(
    ("number", "changes", "message"),
    [
        (6, {"side": "DR"}, "accounts that recognise tabarru_amount of PREMIUM take -1 * :tabarru_amount"),
        (6, {"amount": _amount(":tabarru_amount * 0.5")}, "take 0.5 * :tabarru_amount"),
        (6, {"account_code": "1310-20"}, "accounts that recognise tabarru_amount of PREMIUM take 0"),
        (6, {"account_code": "5110-20"}, "line 6: account 5110-20 is for CLAIM transactions"),
        (4, {"amount": _amount(":gross_amount - :tabarru_amount - :tanahud_amount")}, None),
    ],
)
def test_components_that_do_not_reach_their_fund_are_found(
    number: int, changes: dict[str, object], message: str | None
) -> None:
    found = _messages(check_recognition(_with_line(COMBINED, number, **changes)))
    assert message in found if message else not found


@pytest.mark.parametrize(
    ("code", "changes", "message"),
    [
        ("1310-20", {"mirror_account_code": "1310-30"}, "its mirror 1310-30 does not name it in turn"),
        ("1310-20", {"mirror_account_code": None}, "its mirror 1310-20 does not name it in turn"),
        ("1310-20", {"mirror_account_code": "9999"}, "its mirror 9999 does not name it in turn"),
        ("1310-20", {"fund": "OPERATOR"}, "in the same fund"),
        ("1310-20", {"account_type": "LIABILITY"}, "not an asset and a liability"),
    ],
)
def test_mirrors_that_do_not_mirror_are_found(code: str, changes: dict[str, object], message: str) -> None:
    assert message in _messages(check_mirrors(_with_account(COMBINED, code, **changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"account_code": "1100-20"},
        {"amount": _amount(":tanahud_amount")},
        {"side": "CR"},
        {"takes_remainder": True},
        {"amount": _amount(":tabarru_amount * 0.999 + :tabarru_amount * 0.001 + 0.001")},
    ],
)
def test_movements_between_funds_without_their_mirror_are_found(changes: dict[str, object]) -> None:
    found = _messages(check_mirrors(_with_line(COMBINED, 5, **changes)))
    assert "entry 1: accounts 1310-20 and 2320-10 do not move by the same amount" in found


def test_equal_rounded_amounts_on_both_sides_of_a_mirror_are_fine() -> None:
    rounded = _amount(":tabarru_amount * 0.5")
    assert check_mirrors(_with_line(_with_line(COMBINED, 5, amount=rounded), 2, amount=rounded)) == []
    assert check_mirrors(_with_line(_with_line(COMBINED, 5, amount=rounded), 2, amount=_amount(":tabarru_amount")))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (AccountOverride("P", None, "fees", "fees-2"), None),
        (AccountOverride("P", None, "fees", "nowhere"), "not in the chart"),
        (AccountOverride("P", None, "nowhere", "fees"), "not in the chart"),
        (AccountOverride("P", None, "cash", "closed"), "replacement is closed"),
        (AccountOverride("P", None, "fees", "income"), "differs from it in fund, type"),
        (AccountOverride("P", None, "fees", "cash"), "differs from it in fund, type"),
        (AccountOverride("P", None, "due-to", "due-to"), "with a mirror cannot be replaced"),
        (AccountOverride("Z", None, "fees", "fees-2"), "not one of the rule set"),
        (AccountOverride("P", None, "income", "income-2"), "no template line uses the account"),
    ],
)
def test_overrides_that_would_break_a_proof_are_found(override: AccountOverride, message: str | None) -> None:
    found = _messages(check_overrides(rule_set(template(), overrides=[override])))
    assert message in found if message else not found


def _approval(**changes: object) -> Approval:
    plain = Approval("combined", 1, COMBINED.content_hash(), "controller", TODAY)
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("approvals", "message"),
    [
        ([_approval()], None),
        ([_approval(sha256="0" * 64), _approval()], None),
        ([], "it has no approval"),
        ([_approval(version=2), _approval(rule_set="other")], "it has no approval"),
        ([_approval(sha256="0" * 64)], "it was changed after its approval; its hash is now 42087fc4998b"),
        ([_approval(approved_by=" Finance-Operations ")], "who prepared it"),
        ([_approval(approved_by=" ")], "who prepared it"),
    ],
)
def test_approval_is_by_a_second_person_for_exactly_this_content(
    approvals: list[Approval], message: str | None
) -> None:
    found = _messages(check_approval(COMBINED, approvals))
    assert message in found if message else not found


def test_any_edit_voids_the_approval() -> None:
    edited = _with_account(COMBINED, "1100-20", description="Cash")
    assert "changed after its approval" in _messages(check_rules(edited, load_approvals()))


def test_drafts_need_no_approval_unless_one_template_requires_it() -> None:
    drafts = [replace(one, requires_approval=False) for one in COMBINED.templates]
    assert check_approval(replace(COMBINED, templates=tuple(drafts)), []) == []
    assert check_approval(replace(COMBINED, templates=(drafts[0], COMBINED.templates[1])), [])


FACTORS = ("0.5", "0.25", "0.125", "0.333", "0.0001", "1", "2")


@st.composite
def _guessed(draw: st.DrawFn) -> Template:
    """A template of two to five lines that may balance, by luck or because its last line makes up for the rest."""
    lines, rest = [], []
    for number in range(1, draw(st.integers(1, 4)) + 1):
        side = draw(st.sampled_from(["DR", "CR"]))
        amount = draw(st.sampled_from([":gross_amount", ":ujroh_amount", ":tabarru_amount"]))
        text = f"{amount} * {draw(st.sampled_from(FACTORS))}"
        lines.append(line(number, side, "cash", "OPERATOR", text))
        rest.append(f"{'' if side == 'DR' else '- '}({text})")
    last = " + ".join(rest) if draw(st.booleans()) else ":gross_amount"
    return template("T", *lines, line(9, "CR", "fees", "OPERATOR", last, rest=draw(st.booleans())))


@settings(deadline=None)
@given(_guessed(), st.lists(st.tuples(*[st.integers(0, 10**6) | st.integers(0, 50)] * 3), min_size=1, max_size=5))
def test_what_is_proven_to_balance_is_never_out_of_balance(guess: Template, parts: list[tuple[int, int, int]]) -> None:
    rules = rule_set(guess)
    rows = [
        transaction(gross_amount=sum(part), tabarru_amount=part[0], tanahud_amount=part[1], ujroh_amount=part[2])
        for part in parts
    ]
    reasons = expand(frame(rows), compiled(rules), first_je_number=1, period="2025-01").exceptions["reason"]
    if not check_balance(rules):
        assert "OUT_OF_BALANCE" not in reasons
