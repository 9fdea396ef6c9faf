"""The recommendation of a dry run, as a function of seconds, counts and what stands in the way."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_assets.accounting.dry_run import JUDGED_FROM, Recommendation, Throughput, judge

SECONDS = st.decimals(0, 10**5, places=3)
NINETY_MINUTES = Decimal(5400) / Decimal("1.1")


def took(seconds: str | Decimal) -> dict[str, Decimal]:
    return {"plan": Decimal(0), "staging": Decimal(seconds)}


@pytest.mark.parametrize(
    ("seconds", "transactions", "recommendation"),
    [
        ("0.2", 1_000, "PROCEED"),  # 5,000 a second, and nobody minds
        ("10", JUDGED_FROM, "PROCEED"),  # exactly 5,556
        ("10.001", JUDGED_FROM, "WARNING"),
        ("10.001", JUDGED_FROM - 1, "PROCEED"),
        ("4909.09", 10**9, "PROCEED"),  # 89 min 59.999 s
        ("4909.091", 10**9, "WARNING"),  # 90 min and a tenth of a millisecond
        ("180", 1_000_080, "PROCEED"),
        ("180", 1_000_079, "WARNING"),
    ],
)
def test_the_limits(seconds: str, transactions: int, recommendation: str):
    assert judge(took(seconds), transactions, []).recommendation == recommendation


@given(SECONDS, st.integers(0, 10**9), st.lists(st.text(min_size=1), max_size=3))
def test_the_recommendation_is_what_its_rule_says(seconds: Decimal, transactions: int, obstacles: list[str]):
    found = judge(took(seconds), transactions, obstacles)
    slow = seconds * 11 > 54_000
    under = transactions >= JUDGED_FROM and transactions < 5556 * seconds
    expected = "DO NOT PROCEED" if obstacles else "WARNING" if slow or under else "PROCEED"
    assert found.recommendation == expected
    assert found.projected_seconds == seconds * Decimal("1.1")
    assert found.meets_target == (seconds * 11 <= 12_000)
    assert found.fits_window == (seconds * 11 <= 72_000)
    assert found.reasons[: len(obstacles)] == tuple(obstacles)
    assert len(found.reasons) == len(obstacles) + slow + under
    if found.transactions_per_second is not None:
        assert found.transactions_per_second * seconds <= transactions


@given(SECONDS, SECONDS, st.integers(0, 10**9))
def test_what_takes_longer_is_never_recommended_more(seconds: Decimal, more: Decimal, transactions: int):
    order = list(Recommendation)
    first, longer = (judge(took(it), transactions, []).recommendation for it in (seconds, seconds + more))
    assert order.index(longer) <= order.index(first)


def test_what_was_never_begun_is_not_timed():
    found = judge({}, 0, ["2024-02 waits for 2024-01"])
    assert found.recommendation is Recommendation.DO_NOT_PROCEED
    assert (found.projected_seconds, found.meets_target, found.transactions_per_second) == (None, None, None)
    assert found.throughput is Throughput.NOT_JUDGED


def test_the_reasons_name_figure_and_limit():
    assert judge(took(7000), 10**6, []).reasons == (
        "slow: 2 h 8 min are projected, over 1 h 30 min, over the window of 2 h",
        "slow: 142 transactions a second, under 5,556",
    )
