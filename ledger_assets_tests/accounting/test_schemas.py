"""The verdict on rows: each reason, all reasons of a row, and no row lost. The oracle judges one row at a time."""

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pandera.errors
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_assets.accounting.generation import DEFECTS, generate
from ledger_assets.accounting.schemas import (
    AMOUNTS,
    DATES,
    REASONS,
    SOURCE_COLUMNS,
    TEXTS,
    Judgement,
    good_transactions,
    judge,
)
from ledger_assets.accounting.source_values import Notation, as_amount

WIDE = pl.Decimal(38, 18)
SCHEMA = pl.Schema(
    [("row_number", pl.Int32())]
    + [(name, pl.Date() if name in DATES else WIDE if name in AMOUNTS else pl.String()) for name in SOURCE_COLUMNS]
)
GOOD: dict[str, Any] = {
    "txn_id": "T-1", "txn_type": "PREMIUM", "policy_id": "P-1", "product_code": "FAMILY-001", "channel": "AGENCY",
    "txn_date": date(2025, 1, 2), "bank_value_date": date(2025, 1, 3), "currency": "IDR",
    "gross_amount": Decimal("100.00"), "tabarru_amount": Decimal("40.00"), "tanahud_amount": Decimal("40.00"),
    "ujroh_amount": Decimal("20.00"),
}  # fmt: skip


def delivery(*changes: dict[str, Any]) -> pl.DataFrame:
    """Good rows with ids of their own, each with its changes."""
    rows = [{"row_number": n, **GOOD, "txn_id": f"T-{n}", **change} for n, change in enumerate(changes, 1)]
    return pl.DataFrame(rows, schema=SCHEMA)


def judged(*changes: dict[str, Any]) -> Judgement:
    return judge(delivery(*changes), period="2025-01", currency="IDR")


def reasons_of(change: dict[str, Any]) -> list[str]:
    rejected = judged(change).rejected
    return rejected["reasons"].to_list()[0] if rejected.height else []


@pytest.mark.parametrize(
    ("period", "first", "last"),
    [
        ("2025-01", date(2025, 1, 1), date(2025, 1, 31)),
        ("2024-12", date(2024, 12, 1), date(2024, 12, 31)),
        ("2024-02", date(2024, 2, 1), date(2024, 2, 29)),
        ("1900-02", date(1900, 2, 1), date(1900, 2, 28)),
    ],
)
def test_a_month_takes_its_first_and_its_last_day_and_none_beside_them(period: str, first: date, last: date) -> None:
    days = [first - timedelta(days=1), first, last, last + timedelta(days=1)]
    accepted, rejected = judge(delivery(*({"bank_value_date": day} for day in days)), period=period, currency="IDR")
    assert accepted["bank_value_date"].to_list() == [first, last]
    assert rejected["reasons"].to_list() == [["WRONG_MONTH"]] * 2


def test_a_good_row_is_accepted_as_it_is() -> None:
    judgement = judged({})
    assert judgement.accepted.drop("row_number").row(0, named=True) == GOOD
    assert judgement.accepted.schema["gross_amount"] == pl.Decimal(18, 2)
    assert judgement.rejected.height == 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"txn_id": None}, "MISSING_TXN_ID"),
        ({"txn_type": None}, "MISSING_TYPE"),
        ({"policy_id": None}, "MISSING_POLICY"),
        ({"product_code": None}, "MISSING_PRODUCT"),
        ({"channel": None}, "MISSING_CHANNEL"),
        ({"currency": None}, "MISSING_CURRENCY"),
        ({"txn_date": None}, "MISSING_DATE"),
        ({"bank_value_date": None}, "MISSING_DATE"),
        ({"tabarru_amount": None}, "MISSING_AMOUNT"),
        ({"gross_amount": None}, "MISSING_AMOUNT"),
        ({"policy_id": "P" * 201}, "TEXT_TOO_LONG"),
        ({"bank_value_date": date(2025, 2, 1)}, "WRONG_MONTH"),
        ({"bank_value_date": date(2024, 1, 31)}, "WRONG_MONTH"),
        ({"currency": "USD"}, "WRONG_CURRENCY"),
        ({"gross_amount": Decimal("100.001"), "ujroh_amount": Decimal("20.001")}, "TOO_MANY_DECIMALS"),
        (dict.fromkeys(("gross_amount", "ujroh_amount"), Decimal(10**16)) | dict.fromkeys(AMOUNTS[1:3], Decimal(0)),
         "AMOUNT_TOO_LARGE"),
        (dict.fromkeys(AMOUNTS, Decimal(0)), "ZERO_AMOUNT"),
        ({name: -GOOD[name] for name in AMOUNTS}, "NEGATIVE_AMOUNT"),
        ({"tabarru_amount": Decimal("-40.00"), "ujroh_amount": Decimal("100.00")}, "NEGATIVE_AMOUNT"),
        ({"ujroh_amount": Decimal("20.01")}, "COMPONENTS_DO_NOT_ADD_UP"),
    ],
)  # fmt: skip
def test_each_reason_alone(change: dict[str, Any], expected: str) -> None:
    assert reasons_of(change) == [expected]


@pytest.mark.parametrize(
    "change",
    [
        {"product_code": "UNHEARD-OF"},
        {"channel": "PIGEON"},
        {"txn_date": date(2024, 12, 30)},
        {"bank_value_date": date(2025, 1, 1)},
        {"bank_value_date": date(2025, 1, 31)},
        {"tabarru_amount": Decimal(0), "tanahud_amount": Decimal(0), "ujroh_amount": Decimal("100.00")},
        {"gross_amount": Decimal("100.00000"), "policy_id": "é" * 100},
        dict.fromkeys(("gross_amount", "ujroh_amount"), Decimal(10**16) - Decimal("0.01"))
        | dict.fromkeys(AMOUNTS[1:3], Decimal(0)),
    ],
)
def test_what_is_no_reason(change: dict[str, Any]) -> None:
    assert reasons_of(change) == []


def test_a_row_that_breaks_three_rules_has_three_reasons_and_is_kept_as_delivered() -> None:
    change = {"currency": "USD", "bank_value_date": date(2025, 2, 1), "ujroh_amount": Decimal("20.01")}
    frame = delivery({}, change)
    raw = pl.DataFrame({"Betrag": ["100,00", "100,00"], "Note": ["", 'nul \0 and "quotes"']})
    rejected = judge(frame, period="2025-01", currency="IDR", raw=raw).rejected.row(0, named=True)
    assert rejected["reasons"] == ["WRONG_MONTH", "WRONG_CURRENCY", "COMPONENTS_DO_NOT_ADD_UP"]
    assert (rejected["row_number"], rejected["txn_id"]) == (2, "T-2")
    assert json.loads(rejected["raw"]) == {"Betrag": "100,00", "Note": 'nul \ufffd and "quotes"'}


def test_of_equal_ids_the_first_good_row_stays() -> None:
    zero = dict.fromkeys(AMOUNTS, Decimal(0))
    same = {"txn_id": "A"}
    judgement = judged(same | zero, same, same, same | zero, {"txn_id": "B"})
    assert judgement.accepted["row_number"].to_list() == [2, 5]
    assert dict(judgement.rejected.select("row_number", "reasons").rows()) == {
        1: ["ZERO_AMOUNT"], 3: ["DUPLICATE_TXN_ID"], 4: ["ZERO_AMOUNT", "DUPLICATE_TXN_ID"],
    }  # fmt: skip


def test_missing_ids_are_not_duplicates_of_each_other() -> None:
    assert judged({"txn_id": None}, {"txn_id": None}).rejected["reasons"].to_list() == [["MISSING_TXN_ID"]] * 2


@pytest.mark.parametrize("name", [name for name, defect in DEFECTS.items() if defect.control == "rejection"])
def test_each_generated_defect_is_rejected_for_its_reason(name: str) -> None:
    frame = pl.concat(generate("2025-01", 3000, 5, [name])).with_row_index("row_number", 1)
    rows = frame["row_number"].cast(pl.Int32)
    amounts = {column: as_amount(frame[column], rows, Notation()) for column in AMOUNTS}
    judgement = judge(frame.with_columns(rows, **amounts), period="2025-01", currency="IDR")
    assert judgement.rejected["row_number"].to_list() == [2, 1002, 2002]
    assert judgement.rejected["reasons"].to_list() == [[DEFECTS[name].reason]] * 3


@pytest.mark.parametrize("defects", [[], ["unknown_product", "unknown_type"]])
def test_what_is_left_to_later_controls_is_accepted(defects: list[str]) -> None:
    frame = pl.concat(generate("2025-01", 3000, 5, defects)).with_row_index("row_number", 1)
    judgement = judge(frame.with_columns(pl.col("row_number").cast(pl.Int32)), period="2025-01", currency="IDR")
    assert judgement.rejected.height == 0


def test_every_reason_has_a_text_and_a_fix_and_can_occur() -> None:
    rules = {check.name for check in good_transactions("2025-01", "IDR").checks}
    assert rules == set(REASONS)
    assert all(reason.text and reason.fix for reason in REASONS.values())


def test_pandera_refuses_what_judge_rejects() -> None:
    """The schema stands on its own: used without `judge`, it lists every rule that is broken."""
    frame = delivery({"currency": "USD"}, {"ujroh_amount": Decimal("20.01")}).with_columns(
        pl.col(AMOUNTS).cast(pl.Decimal(18, 2))
    )
    with pytest.raises(pandera.errors.SchemaErrors) as caught:
        good_transactions("2025-01", "IDR").validate(frame.select(*SOURCE_COLUMNS, "row_number"), lazy=True)
    assert set(caught.value.failure_cases["check"]) == {"WRONG_CURRENCY", "COMPONENTS_DO_NOT_ADD_UP"}


# ------------------------------------------------------------------------------------------------------ the oracle

A_FEW_CENTS = st.integers(-2, 4).map(lambda cents: Decimal(cents) / 100)
ROW = st.fixed_dictionaries({
    "txn_id": st.sampled_from(["A", "B", "C", "D", None]),
    "txn_type": st.sampled_from(["PREMIUM", "REFUND", None]),
    "policy_id": st.sampled_from(["P", "é" * 101, None]),
    "product_code": st.sampled_from(["X", None]),
    "channel": st.sampled_from(["Y", None]),
    "txn_date": st.sampled_from([date(2025, 1, 1), None]),
    "bank_value_date": st.one_of(st.none(), st.dates(date(2024, 12, 30), date(2025, 2, 2))),
    "currency": st.sampled_from(["IDR", "USD", None]),
    "tabarru_amount": st.one_of(st.none(), A_FEW_CENTS),
    "tanahud_amount": A_FEW_CENTS,
    "ujroh_amount": st.sampled_from([Decimal(0), Decimal("0.01"), Decimal("0.001"), Decimal(10**16)]),
    "gross_amount": st.one_of(st.none(), A_FEW_CENTS),
})  # fmt: skip
NEARLY_GOOD = st.builds(lambda row, names: GOOD | {name: row[name] for name in names}, ROW, st.sets(st.sampled_from(
    sorted(SOURCE_COLUMNS)), max_size=2))  # fmt: skip


def broken_rules(row: dict[str, Any]) -> list[str]:
    """What is wrong with one row, in plain Python; duplicates apart."""
    amounts = [row[name] for name in AMOUNTS]
    known = [amount for amount in amounts if amount is not None]
    codes = ("TXN_ID", "TYPE", "POLICY", "PRODUCT", "CHANNEL", "CURRENCY")
    verdict = {f"MISSING_{code}": row[name] is None for code, name in zip(codes, TEXTS, strict=True)}
    verdict |= {
        "MISSING_DATE": row["txn_date"] is None or row["bank_value_date"] is None,
        "MISSING_AMOUNT": len(known) < 4,
        "TEXT_TOO_LONG": any(len((row[name] or "").encode()) > 200 for name in TEXTS),
        "WRONG_MONTH": row["bank_value_date"] is not None and f"{row['bank_value_date']:%Y-%m}" != "2025-01",
        "WRONG_CURRENCY": row["currency"] not in ("IDR", None),
        "TOO_MANY_DECIMALS": any(amount * 100 % 1 for amount in known),
        "AMOUNT_TOO_LARGE": any(abs(amount) >= 10**16 for amount in known),
        "ZERO_AMOUNT": row["gross_amount"] == 0,
        "NEGATIVE_AMOUNT": any(amount < 0 for amount in known),
        "COMPONENTS_DO_NOT_ADD_UP": len(known) == 4 and amounts[0] != sum(amounts[1:]),
    }
    return [code for code, is_broken in verdict.items() if is_broken]


@settings(deadline=None, max_examples=150)
@given(rows=st.lists(st.one_of(ROW, NEARLY_GOOD), max_size=12))
def test_judge_agrees_with_plain_python_and_loses_no_row(rows: list[dict[str, Any]]) -> None:
    expected: dict[int, list[str]] = {}
    accepted_ids: set[str] = set()
    for number, row in enumerate(rows, 1):
        reasons = broken_rules(row) + (["DUPLICATE_TXN_ID"] if row["txn_id"] in accepted_ids else [])
        if reasons:
            expected[number] = reasons
        else:
            accepted_ids.add(row["txn_id"])

    frame = pl.DataFrame([{"row_number": n, **row} for n, row in enumerate(rows, 1)], schema=SCHEMA)
    judgement = judge(frame, period="2025-01", currency="IDR")

    assert dict(judgement.rejected.select("row_number", "reasons").rows()) == expected
    both = sorted(judgement.accepted["row_number"].to_list() + judgement.rejected["row_number"].to_list())
    assert both == list(range(1, len(rows) + 1))
