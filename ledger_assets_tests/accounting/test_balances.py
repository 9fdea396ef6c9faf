"""The controls on balances as functions: for any balances, a control passes exactly when what it promises is so."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_assets.accounting.balances import (
    CONTROLS,
    AccountBalance,
    Balances,
    debits_equal_credits,
    fund_balances_agree,
    interfund_balances_mirror,
    opening_equals_previous_closing,
    snapshot_equals_lines,
)

CHART: Final = {
    "cash-10": ("OPERATOR", "ASSET", None),
    "due-to": ("OPERATOR", "LIABILITY", "due-from"),
    "equity-10": ("OPERATOR", "EQUITY", None),
    "fees": ("OPERATOR", "INCOME", None),
    "cash-20": ("TABARRU", "ASSET", None),
    "due-from": ("TABARRU", "ASSET", "due-to"),
    "contributions": ("TABARRU", "INCOME", None),
    "claims": ("TABARRU", "EXPENSE", None),
}
ENTRIES: Final = (
    (("equity-10", -1), ("cash-10", 1)),
    (("fees", -1), ("cash-10", 1)),
    (("cash-10", 1), ("due-to", -1), ("due-from", 1), ("contributions", -1)),
    (("claims", 1), ("due-from", -1), ("due-to", 1), ("cash-10", -1)),
    (("cash-20", 1), ("due-from", -1), ("due-to", 1), ("cash-10", -1)),
)
"""What can happen: lines of account and side; each entry balances in every fund."""

happenings = st.lists(st.tuples(st.sampled_from(ENTRIES), st.integers(1, 1000)), max_size=6)


def balances_of(before: list[Any], month: list[Any]) -> Balances:
    """The balances after some entries of a month, on top of those before; funds added up from what they earned."""
    opening, debit, credit = Counter[str](), Counter[str](), Counter[str]()
    for entry, amount in before:
        for code, sign in entry:
            opening[code] += sign * amount
    for entry, amount in month:
        for code, sign in entry:
            (debit if sign > 0 else credit)[code] += amount
    accounts = [
        AccountBalance(
            account_code=code,
            fund=fund,
            account_type=account_type,
            mirror_account_code=mirror,
            opening=opening[code],
            debit=debit[code],
            credit=credit[code],
            closing=opening[code] + debit[code] - credit[code],
            previous_closing=opening[code],
            line_debit=debit[code],
            line_credit=credit[code],
        )
        for code, (fund, account_type, mirror) in CHART.items()
    ]
    earned = Counter[str]()
    for account in accounts:
        if account.account_type in {"INCOME", "EXPENSE", "EQUITY"}:
            earned[account.fund] -= account.closing
    return Balances(accounts, {fund: earned[fund] for fund in ("OPERATOR", "TABARRU")})


sound = st.builds(balances_of, happenings, happenings)


@st.composite
def faulty(draw: st.DrawFn) -> Balances:
    """Sound balances of which up to three figures are off."""
    balances = draw(sound)
    accounts, funds = list(balances.accounts), dict(balances.funds)
    figures = ("opening", "debit", "credit", "closing", "previous_closing", "line_debit", "line_credit")
    for _ in range(draw(st.integers(0, 3))):
        name, by = draw(st.sampled_from([*figures, "fund"])), draw(st.integers(-2, 2))
        if name == "fund":
            fund = draw(st.sampled_from([*funds, "TANAHUD"]))
            funds[fund] = funds.get(fund, 0) + by
        else:
            place = draw(st.integers(0, len(accounts) - 1))
            accounts[place] = replace(accounts[place], **{name: getattr(accounts[place], name) + by})
    return Balances(accounts, funds)


# ------------------------------------------------------------------------------------------------ what they promise


def every_fund_balances(balances: Balances) -> bool:
    moved, left = Counter[str](), Counter[str]()
    for account in balances.accounts:
        moved[account.fund] += account.debit - account.credit
        left[account.fund] += account.closing
    return not any(moved.values()) and not any(left.values())


def every_account_continues(balances: Balances) -> bool:
    return [a.opening for a in balances.accounts] == [a.previous_closing for a in balances.accounts]


def the_lines_say_the_same(balances: Balances) -> bool:
    return all((a.debit, a.credit) == (a.line_debit, a.line_credit) for a in balances.accounts)


def net_assets_are_fund_balances(balances: Balances) -> bool:
    owned = Counter[str]()
    for account in balances.accounts:
        if account.account_type in {"ASSET", "LIABILITY"}:
            owned[account.fund] += account.closing
    return all(owned[fund] == balances.funds.get(fund, 0) for fund in {*owned, *balances.funds})


def pairs_mirror(balances: Balances) -> bool:
    closing = {account.account_code: account.closing for account in balances.accounts}
    return closing["due-to"] == -closing["due-from"]


PROMISES: Final[dict[str, Callable[[Balances], bool]]] = {
    "debits_equal_credits": every_fund_balances,
    "opening_equals_previous_closing": every_account_continues,
    "snapshot_equals_lines": the_lines_say_the_same,
    "fund_balances_agree": net_assets_are_fund_balances,
    "interfund_balances_mirror": pairs_mirror,
}


@pytest.mark.parametrize("control", CONTROLS)
@settings(deadline=None, max_examples=300)
@given(balances=faulty())
def test_a_control_passes_exactly_when_its_promise_holds(control: str, balances: Balances) -> None:
    assert CONTROLS[control](balances).passed == PROMISES[control](balances)


@settings(deadline=None)
@given(balances=sound)
def test_sound_balances_pass_all_controls(balances: Balances) -> None:
    verdicts = [control(balances) for control in CONTROLS.values()]
    assert [verdict.gate for verdict in verdicts] == list(CONTROLS) == list(PROMISES)
    assert all(verdict.passed for verdict in verdicts)


# ------------------------------------------------------------------------------------------------ what they say


def month(code: str = "", **figures: int) -> Balances:
    """A contribution of 100.00 on top of nothing, of which one account's figures are others."""
    balances = balances_of([], [(ENTRIES[2], 10_000)])
    accounts = [replace(a, **figures) if a.account_code == code else a for a in balances.accounts]
    return Balances(accounts, balances.funds)


def test_a_fund_out_of_balance_is_named() -> None:
    verdict = debits_equal_credits(month("contributions", credit=9_999, closing=-9_999))
    assert verdict.detail == (
        "out of balance: TABARRU movements: expected 100.00, found 99.99; "
        "TABARRU closing balances: expected 0.00, found 0.01"
    )
    assert (verdict.expected, verdict.actual, verdict.difference) == ("200.00", "199.99", "-0.01")


def test_an_account_that_does_not_continue_is_named() -> None:
    verdict = opening_equals_previous_closing(month("cash-10", previous_closing=500))
    assert verdict.detail == "the month before ended differently: cash-10: expected 5.00, found 0.00"


def test_an_account_whose_lines_say_otherwise_is_named() -> None:
    verdict = snapshot_equals_lines(month("contributions", line_credit=10_001))
    assert verdict.detail == "the lines say otherwise: contributions credit: expected 100.01, found 100.00"


def test_a_fund_whose_balance_was_not_moved_is_named() -> None:
    balances = month()
    verdict = fund_balances_agree(Balances(balances.accounts, {"OPERATOR": 0}))
    assert verdict.detail == "fund balances differ: TABARRU: expected 100.00, found 0.00"


def test_a_pair_that_does_not_mirror_is_named_from_both_sides() -> None:
    verdict = interfund_balances_mirror(month("due-to", closing=-9_000))
    assert verdict.detail == (
        "a pair does not mirror: due-to against due-from: expected -100.00, found -90.00; "
        "due-from against due-to: expected 90.00, found 100.00"
    )


def test_a_mirror_without_balance_counts_as_nothing() -> None:
    balances = month()
    without = [account for account in balances.accounts if account.account_code != "due-to"]
    verdict = interfund_balances_mirror(Balances(without, balances.funds))
    assert verdict.detail == "a pair does not mirror: due-from against due-to: expected 0.00, found 100.00"
