"""How entries are named, and amounts worked out again from their expressions."""

from decimal import Decimal
from typing import Any

import pytest

from ledger_assets.accounting.explanation import EntryName, EntryNameError, entry_name, worked_out


def line(side: str, expression: str | None, *, fund: str = "OPERATOR", remainder: bool = False) -> dict[str, Any]:
    amounts = {"gross_amount": "100.01", "tabarru_amount": "40.01", "tanahud_amount": "40.00", "ujroh_amount": "20.00"}
    return {
        "side": side,
        "amount_expression": expression,
        "fund": fund,
        "takes_remainder": remainder,
        **{name: Decimal(value) for name, value in amounts.items()},
    }


@pytest.mark.parametrize("text", ["JE-2025-01-000123", "JE-2025-01-123"])
def test_an_entry_is_named_by_month_and_number(text: str) -> None:
    assert entry_name(text) == EntryName("2025-01", 123)
    assert str(entry_name(text)) == "JE-2025-01-000123"


def test_a_number_of_more_than_six_digits_is_named_too() -> None:
    assert str(entry_name("JE-2025-01-12345678")) == "JE-2025-01-12345678"


@pytest.mark.parametrize(
    "text", ["17", "2025-01", "JE-2025-13-1", "JE-2025-01-0", "JE-2025-01-2147483648", "JE-2025-01-", ""]
)
def test_anything_else_is_refused_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(EntryNameError, match="JE-2025-01-000123") as refused:
        entry_name(text)
    assert repr(text) in str(refused.value)


def test_an_amount_is_shown_with_its_numbers_and_rounded_once() -> None:
    (half,) = worked_out([line("DR", ":gross_amount * 0.5 - 1")])
    assert half == ("100.01 * 0.5 - 1", Decimal("0.00"), Decimal("49.01"))


def test_the_remainder_is_what_the_other_lines_of_the_fund_leave() -> None:
    worked = worked_out(
        [
            line("DR", ":gross_amount"),
            line("CR", ":gross_amount * 0.5"),
            line("CR", ":gross_amount * 0.5", remainder=True),
            line("DR", ":ujroh_amount", fund="TABARRU"),
        ]
    )
    assert [amount and (amount.remainder, amount.result) for amount in worked] == [
        (Decimal("0.00"), Decimal("100.01")),
        (Decimal("0.00"), Decimal("50.01")),
        (Decimal("-0.01"), Decimal("50.00")),
        (Decimal("0.00"), Decimal("20.00")),
    ]


def test_a_line_without_an_expression_has_nothing_to_work_out() -> None:
    assert worked_out([line("DR", None)]) == [None]
