"""Other people's columns as transactions: what each part of a mapping does, and what a mapping file may not say."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_assets.accounting.amounts import COMPONENTS, VARIABLES
from ledger_assets.accounting.mapping import load_mapping, parse_mapping
from ledger_assets.accounting.money import from_minor, split
from ledger_assets.accounting.schemas import SOURCE_COLUMNS, judge
from ledger_assets.accounting.source_errors import MappingError, UnreadableValue
from ledger_assets.accounting.source_mapping import Mapped, SourceMapping
from ledger_assets.accounting.source_values import Notation, as_amount, as_day, as_text

FULL = """
[columns]
policy_id = "PolicyNum"
gross_amount = "Premium"
product_code = "Kind"

[constants]
txn_type = "PREMIUM"
channel = "DIRECT"
currency = "USD"

[id]
prefix = "P-"
from = ["PolicyNum", "Year"]

[date]
year = "Year"
month = 3
day = 15

[split]
of = "gross_amount"
shares = { tabarru = 40, tanahud = 40, ujroh = 20 }
remainder_on = "ujroh"

[values.product_code]
County = "FAMILY-001"
"*" = "MEDICAL-001"

[skip]
zero_amounts = true
where = { Status = ["Open", "Void"] }

[period]
other_months = "skip"
"""


def mapping(text: str) -> SourceMapping:
    return parse_mapping(text.encode(), "m.toml")


def policies(**columns: list[Any]) -> pl.DataFrame:
    """Two policies as their system exports them."""
    defaults = {"PolicyNum": ["1001", "1002"], "Year": ["2025", "2025"], "Premium": ["100.03", "200"],
                "Kind": ["County", "City"], "Status": ["Closed", "Closed"]}  # fmt: skip
    return pl.DataFrame(defaults | columns)


def mapped(text: str = FULL, raw: pl.DataFrame | None = None, first_row: int = 1, period: str = "2025-03") -> Mapped:
    return mapping(text).apply(policies() if raw is None else raw, first_row, period)


def test_a_full_mapping_makes_transactions_that_are_accepted() -> None:
    result = mapped()
    assert result.frame.columns == ["row_number", *SOURCE_COLUMNS]
    assert result.frame.row(0, named=True) == {
        "row_number": 1, "txn_id": "P-1001-2025", "txn_type": "PREMIUM", "policy_id": "1001",
        "product_code": "FAMILY-001", "channel": "DIRECT", "txn_date": date(2025, 3, 15),
        "bank_value_date": date(2025, 3, 15), "currency": "USD", "gross_amount": Decimal("100.03"),
        "tabarru_amount": Decimal("40.01"), "tanahud_amount": Decimal("40.01"), "ujroh_amount": Decimal("20.01"),
    }  # fmt: skip
    assert result.frame["product_code"].to_list() == ["FAMILY-001", "MEDICAL-001"]
    assert judge(result.frame, period="2025-03", currency="USD", raw=result.raw).accepted.height == 2


def test_the_empty_mapping_is_the_identity() -> None:
    assert mapping("") == load_mapping(None) == SourceMapping()
    assert [name for name, _ in SourceMapping().needs()] == list(SOURCE_COLUMNS)


def test_a_mapping_names_the_columns_that_it_needs() -> None:
    assert {name for name, _ in mapping(FULL).needs()} == {"PolicyNum", "Premium", "Kind", "Year", "Status"}


def test_its_hash_covers_what_it_says_and_not_how_it_is_laid_out() -> None:
    assert mapping(FULL).sha256 == mapping("# a comment\n" + FULL).sha256
    assert mapping(FULL).sha256 != mapping(FULL.replace("day = 15", "day = 16")).sha256


def test_left_out_rows_are_counted_and_positions_are_those_of_the_file() -> None:
    raw = policies(
        PolicyNum=[f"{n}" for n in range(6)], Premium=["1", "0", "0.00", "1", "1", ""], Kind=["City"] * 6,
        Year=["2025", "2025", "2025", "2024", "2025", "2025"], Status=["", "x", "x", "x", " Void ", "x"],
    )  # fmt: skip
    result = mapped(raw=raw, first_row=11)
    assert result.frame["row_number"].to_list() == [11, 16], "a missing amount is not zero: it is for the judge"
    assert result.raw["PolicyNum"].to_list() == ["0", "5"]
    assert result.skipped == 4


def test_other_months_are_rejected_unless_the_mapping_skips_them() -> None:
    raw = policies(Year=["2025", "2024"])
    assert mapped(raw=raw).skipped == 1
    kept = mapped(FULL.replace('other_months = "skip"', ""), raw=raw)
    assert kept.skipped == 0
    assert judge(kept.frame, period="2025-03", currency="USD").rejected["reasons"].to_list() == [["WRONG_MONTH"]]


def test_an_id_from_the_position_in_the_file() -> None:
    text = FULL.replace('from = ["PolicyNum", "Year"]', 'from = "row_position"')
    assert mapped(text, first_row=250_001).frame["txn_id"].to_list() == ["P-250001", "P-250002"]


def test_an_id_with_a_part_missing_is_missing() -> None:
    assert mapped(raw=policies(PolicyNum=["", "1002"])).frame["txn_id"].to_list() == [None, "P-1002-2025"]


def test_months_from_a_column_and_in_turns() -> None:
    from_column = FULL.replace("month = 3", 'month = "M"').replace('other_months = "skip"', "")
    assert mapped(from_column, policies(M=["4", "12"])).frame["txn_date"].dt.month().to_list() == [4, 12]
    in_turns = FULL.replace("month = 3", 'month = "spread"').replace('other_months = "skip"', "")
    assert mapped(in_turns, first_row=12).frame["txn_date"].dt.month().to_list() == [12, 1]


def test_a_column_has_one_origin() -> None:
    with pytest.raises(MappingError, match=r"\[date\] gives txn_date, and so does \[columns\]"):
        mapping(FULL.replace("[columns]", '[columns]\ntxn_date = "Paid"'))


def test_other_notations() -> None:
    text = """
        [file]
        delimiter = ";"
        decimal = ","
        thousands = "."
        [date]
        format = "%d/%m/%Y"
    """
    notation = mapping(text).notation
    rows = pl.Series([1, 2, 3])
    amounts = as_amount(pl.Series("a", ["1.234.567,5", "-12,25", "1234"]), rows, notation)
    assert amounts.to_list() == [Decimal("1234567.50"), Decimal("-12.25"), Decimal(1234)]
    assert as_day(pl.Series(["31/01/2025", " ", None]), rows, notation).to_list() == [date(2025, 1, 31), None, None]
    for wrong in ("1.23,5", "1,234.5", "12345.678,00"):
        with pytest.raises(UnreadableValue, match=r"is not a number.*1\.234,50"):
            as_amount(pl.Series("a", [wrong]), rows, notation)


@pytest.mark.parametrize(
    "text", ["12,5x", "NaN", "inf", "1e5", "--1", "1.2.3", "0x10", "1 000", "١٢", ".5", "5.", "+5", "1" * 19, "1_0"]
)
def test_what_is_no_number_is_named_with_its_row_and_column(text: str) -> None:
    with pytest.raises(UnreadableValue, match=r"row 9, column Premium: .* is not a number") as caught:
        as_amount(pl.Series("Premium", ["", "1.00", text]), pl.Series([7, 8, 9]), Notation())
    assert (caught.value.row_number, caught.value.column, caught.value.value) == (9, "Premium", text)


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**18) + 1,
                                              max_value=10**18 - 1, places=4)), max_size=20))  # fmt: skip
def test_numbers_are_read_exactly(numbers: list[Decimal | None]) -> None:
    texts = ["" if number is None else f"{number:f}" for number in numbers]
    amounts = as_amount(pl.Series("a", texts, pl.String), pl.Series(range(len(texts))), Notation())
    assert amounts.to_list() == numbers


@pytest.mark.parametrize("text", ["2025-02-30", "2025/01/01", "01-02-2025x", "2025-01-05 00:00:00", "soon"])
def test_what_is_no_day_is_named(text: str) -> None:
    with pytest.raises(UnreadableValue, match="is not a day written as %Y-%m-%d"):
        as_day(pl.Series("d", ["2025-01-01", text]), pl.Series([1, 2]), Notation())


def test_a_moment_is_a_day_only_at_midnight() -> None:
    rows = pl.Series([1, 2])
    assert as_day(pl.Series([datetime(2025, 1, 2), None]), rows, Notation()).to_list() == [date(2025, 1, 2), None]  # noqa: DTZ001
    with pytest.raises(UnreadableValue, match="is a moment"):
        as_day(pl.Series([datetime(2025, 1, 2, 23, 30)]), rows, Notation())  # noqa: DTZ001


@pytest.mark.parametrize("count", [2**63 - 1, 1 - 2**63, 10**17])
@pytest.mark.parametrize("read", [partial(as_day, notation=Notation()), as_text])
def test_a_moment_outside_the_calendar_is_named(read: Callable[..., pl.Series], count: int) -> None:
    column = pl.Series("d", [0, count]).cast(pl.Datetime("ms"))  # Polars panics when it spells it
    with pytest.raises(UnreadableValue, match=r"row 2, column d: .* is not a day of the years 1 to 9999"):
        read(column, rows=pl.Series([1, 2]))


def test_a_year_that_is_none_is_named() -> None:
    with pytest.raises(UnreadableValue, match="column Year: a value like '99x9' is not a whole number from 1 to 9999"):
        mapped(raw=policies(Year=["2025", "20x5"]))


def test_text_with_nul_is_named() -> None:
    with pytest.raises(UnreadableValue, match="holds a NUL character"):
        mapped(raw=policies(PolicyNum=["10\x0001", "1002"]))


@settings(deadline=None, max_examples=50)
@given(
    cents=st.lists(st.integers(-(10**18) + 1, 10**18 - 1), min_size=1, max_size=20),
    shares=st.integers(0, 100).flatmap(lambda a: st.tuples(st.just(a), st.integers(0, 100 - a))),
    remainder_on=st.integers(0, 2),
)
def test_a_split_is_that_of_the_money_module(cents: list[int], shares: tuple[int, int], remainder_on: int) -> None:
    percents = [*shares, 100 - sum(shares)]
    names = ("tabarru", "tanahud", "ujroh")
    text = (
        FULL.split("[split]", maxsplit=1)[0]
        + f"""
        [split]
        remainder_on = "{names[remainder_on]}"
        shares = {{ {", ".join(f"{name} = {percent}" for name, percent in zip(names, percents, strict=True))} }}
    """
    )
    count = len(cents)
    raw = policies(PolicyNum=["1"] * count, Year=["2025"] * count, Kind=["x"] * count, Status=["x"] * count,
                   Premium=[str(from_minor(amount)) for amount in cents])  # fmt: skip
    parts = mapped(text, raw).frame.select(COMPONENTS).rows()
    expected = [split(amount, [Decimal(percent) / 100 for percent in percents], remainder_on) for amount in cents]
    assert parts == [tuple(map(from_minor, amounts)) for amounts in expected]


def test_an_amount_that_cannot_be_split_is_rejected_for_that_alone() -> None:
    raw = policies(PolicyNum=list("123"), Year=["2025"] * 3, Kind=["x"] * 3, Status=["x"] * 3,
                   Premium=["100.001", "1" * 17, ""])  # fmt: skip
    rejected = judge(mapped(raw=raw).frame, period="2025-03", currency="USD").rejected
    assert rejected["reasons"].to_list() == [["TOO_MANY_DECIMALS"], ["AMOUNT_TOO_LARGE"], ["MISSING_AMOUNT"]]


def test_constant_amounts_and_days() -> None:
    text = """
        [constants]
        tanahud_amount = "0.00"
        bank_value_date = 2025-03-31
    """
    raw = pl.DataFrame({name: ["7"] for name in SOURCE_COLUMNS}).with_columns(txn_date=pl.lit("2025-03-01"))
    row = mapped(text, raw.drop("tanahud_amount", "bank_value_date")).frame.row(0, named=True)
    assert (row["tanahud_amount"], row["bank_value_date"]) == (Decimal(0), date(2025, 3, 31))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("typo = 1", r"\[typo\] is not known.*columns"),
        ("a =", "it is not TOML"),
        ("columns = 3", r"\[columns\] is 3.*a table"),
        ('[columns]\nfoo = "a"', r"\[columns\] foo is not one of our columns.*txn_id"),
        ("[columns]\ntxn_id = 1", r"\[columns\] txn_id is 1.*a text"),
        ('[constants]\ngross = "1"', r"\[constants\] gross is not one of our columns"),
        ('[constants]\ngross_amount = "1e5"', "plain decimal digits"),
        ('[constants]\ntxn_date = "2025-01-01"', "without quotation marks"),
        ('[id]\nprefix = "x"', r"\[id\] from is missing"),
        ('[id]\nfrom = "PolicyNum"', "'row_position'"),
        ("[id]\nfrom = []", "a list of texts"),
        ('[date]\nformat = "DD/MM/YYYY"', "%d/%m/%Y"),
        ('[date]\nformat = "%m/%Y"', "name day, month and year"),
        ('[date]\nyear = "Y"', r"\[date\] month is missing"),
        ('[date]\nyear = "Y"\nmonth = 13', "1 to 12"),
        ('[date]\nyear = "Y"\nmonth = true', "a whole number"),
        ('[date]\nyear = "Y"\nmonth = 2\nday = 29', "1 to 28"),
        ('[split]\nremainder_on = "x"', "'tabarru' or 'tanahud' or 'ujroh'"),
        ('[split]\nof = "net"\nremainder_on = "ujroh"', "'gross_amount'"),
        (FULL.replace("ujroh = 20", "ujroh = 21"), "add up to 101"),
        (FULL.replace("ujroh = 20", "ujroh = 20.0"), "ujroh is 20.0"),
        (FULL.replace("ujroh = 20", 'ujroh = "NaN"'), "percent from 0 to 100"),
        (FULL.replace("ujroh = 20", "fee = 20"), "ujroh is missing"),
        ('[values.gross_amount]\na = "b"', "not one of our text columns"),
        ("[values.channel]\na = 1", "a text in quotation marks"),
        ("[skip]\nzero_amounts = 1", "true or false"),
        ('[skip]\nwhere = { a = "x" }', "a list"),
        ("[skip]\nzero = true", "zero is not known"),
        ('[period]\nother_months = "drop"', "'reject' or 'skip'"),
        ('[file]\ndecimal = ","\nthousands = ","', "the decimal point too"),
        ('[file]\ndelimiter = "||"', "one character"),
        ('[columns]\ntxn_id = "a"\n[id]\nfrom = "row_position"', "keep one of the two"),
    ],
)
def test_a_faulty_mapping_is_refused_with_key_and_fix(text: str, complaint: str) -> None:
    with pytest.raises(MappingError, match=f"(?s)m.toml: .*{complaint}"):
        mapping(text)


def test_a_mapping_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="No such file"):
        load_mapping(tmp_path / "none.toml")


def test_the_documented_mapping_says_everything_that_a_mapping_can_say() -> None:
    readme = Path(__file__).resolve().parents[2] / "examples" / "lgpif" / "README.md"
    documented = mapping(readme.read_text().split("```toml\n")[1].split("```")[0])
    unsaid = [name for name in vars(documented) if getattr(documented, name) == getattr(SourceMapping(), name)]
    assert unsaid == []


def test_amount_columns_have_one_order() -> None:
    assert SOURCE_COLUMNS[-4:] == VARIABLES
