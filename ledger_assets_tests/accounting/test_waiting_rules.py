"""What a version that waits for its approval would book otherwise, month by month."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from ledger_assets.accounting.rule_files import load_rule_set
from ledger_assets.accounting.templates import RuleSet, Template
from ledger_assets.accounting.waiting_rules import WaitingVersion, changes_in, verdict

USED = load_rule_set("combined")
PREMIUM = next(template for template in USED.templates if template.source_type == "PREMIUM")
TURN = date(2024, 3, 15)


def with_template(*templates: Template) -> RuleSet:
    others = [template for template in USED.templates if template.code != PREMIUM.code]
    return replace(USED, version=2, prepared_by="siti", templates=(*others, *templates))


IN_PLACE = with_template(replace(PREMIUM, description="another text"))
SUCCESSOR = with_template(
    replace(PREMIUM, effective_to=date(2024, 3, 14)), replace(PREMIUM, version=2, effective_from=TURN)
)
TAKEN_OUT = with_template(replace(PREMIUM, effective_to=date(2024, 3, 31)))
SAME = replace(USED, version=2, prepared_by="siti")


@pytest.mark.parametrize(
    ("waiting", "period", "named"),
    [
        (IN_PLACE, "2024-01", [PREMIUM.name]),
        (IN_PLACE, None, [PREMIUM.name]),
        (SUCCESSOR, "2024-02", []),
        (SUCCESSOR, "2024-03", [PREMIUM.name, f"template {PREMIUM.code} v2"]),
        (SUCCESSOR, "2024-04", [f"template {PREMIUM.code} v2"]),
        (TAKEN_OUT, "2024-03", []),
        (TAKEN_OUT, "2024-04", [f"{PREMIUM.name}, which it takes out"]),
        (replace(SAME, products=(*USED.products, "NEW-001")), "2024-01", ["the list of products"]),
        (SAME, "2024-01", []),
    ],
)
def test_what_differs_in_a_month(waiting: RuleSet, period: str | None, named: list[str]):
    assert [change.what for change in changes_in(USED, waiting, period)] == named


def test_a_version_that_goes_is_named_although_its_unchanged_successor_stays():
    """The first half of the month would have no template any more."""
    without_it = with_template(replace(PREMIUM, version=2, effective_from=TURN))
    assert [change.what for change in changes_in(SUCCESSOR, without_it, "2024-03")] == [
        f"{PREMIUM.name}, which it takes out"
    ]


@pytest.fixture
def waiting() -> Callable[[str], WaitingVersion]:
    stored = datetime(2024, 3, 20, 9, 30, tzinfo=UTC)
    return lambda period: WaitingVersion("combined", 2, 1, "siti", stored, changes_in(USED, SUCCESSOR, period))


def test_the_warning_says_what_waits_since_when_whose_it_is_and_what_to_do(waiting: Callable[[str], WaitingVersion]):
    told = verdict("combined", waiting("2024-04"))
    assert not told.passed
    for part in (
        "rule set combined v2 waits for approval, v1 posts meanwhile",
        "prepared by siti, stored 2024-03-20 09:30 UTC",
        f"template {PREMIUM.code} v2, effective 2024-03-15",
        "Fix: let a second person review and approve it: ledger-assets approve-rules combined 2 --as NAME",
    ):
        assert part in told.detail
    assert [line.actual for line in told.comparisons] == ["waits; effective 2024-03-15"]


def test_there_is_no_warning_of_what_begins_after_the_month(waiting: Callable[[str], WaitingVersion]):
    told = verdict("combined", waiting("2024-02"))
    assert (told.passed, told.detail) == (True, "rule set combined: v2 waits, and changes nothing of this month")
    assert verdict("combined", None).passed
