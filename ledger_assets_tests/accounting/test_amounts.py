"""Amount expressions: exact, linear, rounded half away from zero, and never wrapped round."""

import re
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ledger_assets.accounting.amounts import COMPONENTS, GROSS, VARIABLES, LinearForm, parse_amount
from ledger_assets.accounting.errors import AmountOverflow, ExpressionError
from ledger_assets.accounting.money import MAX_MINOR, overflow_raises

numbers = st.decimals(0, 999, places=3).map(str) | st.integers(0, 9).map(str)
variables = st.sampled_from(VARIABLES).map(":{}".format)


def _larger(smaller: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(smaller, st.sampled_from(["+", "-"]), smaller).map(" ".join),
        st.tuples(smaller, numbers).map(" * ".join),
        st.tuples(numbers, smaller).map(" * ".join),
        st.tuples(smaller, st.sampled_from(["2", "4", "0.5", "25", "1.6"])).map(" / ".join),
        smaller.map("({})".format),
        smaller.map("- {}".format),
    )


expressions = st.recursive(variables | numbers, _larger, max_leaves=6)
minor = st.integers(-1000, 1000) | st.integers(-MAX_MINOR, MAX_MINOR)
rows = st.fixed_dictionaries(dict.fromkeys(VARIABLES, minor))


def _by_python(text: str, row: dict[str, int]) -> Fraction:
    """The exact value in minor units by Python's own arithmetic, which has the same precedence."""
    text = re.sub(r"[0-9.]+", r"Fraction('\g<0>')", text)
    text = re.sub(r":(\w+)", r"Fraction(row['\1'], 100)", text)
    return 100 * eval(text, {"Fraction": Fraction, "row": row})  # noqa: S307 - our own text


def _half_away_from_zero(value: Fraction) -> int:
    whole, rest = divmod(abs(value), 1)
    rounded = int(whole) + (rest >= Fraction(1, 2))
    return -rounded if value < 0 else rounded


def _parsed(text: str):
    try:
        return parse_amount(text)
    except ExpressionError as error:
        assume("too many digits" not in error.rule)
        raise


@settings(deadline=None)
@given(expressions, rows)
def test_the_value_is_that_of_the_written_formula(text, row):
    amount = _parsed(text)
    exact = _by_python(text, row)
    if abs(_half_away_from_zero(exact)) > MAX_MINOR:
        with pytest.raises(AmountOverflow):
            amount.evaluate(row)
    else:
        assert amount.evaluate(row) == _half_away_from_zero(exact)
    if not amount.form.rounds:
        assert exact.denominator == 1


@settings(deadline=None)
@given(expressions, st.lists(rows, min_size=1, max_size=5))
@example(":gross_amount * 0.5", [dict.fromkeys(VARIABLES, value) for value in (1, -1, 3, -3, 0)])
@example(":gross_amount + :ujroh_amount", [dict.fromkeys(VARIABLES, MAX_MINOR)])
@example("12.345", [dict.fromkeys(VARIABLES, 1)] * 2)
def test_vectorised_evaluation_is_its_row_twin(text, table):
    amount = _parsed(text)
    frame = pl.DataFrame(table, dict.fromkeys(VARIABLES, pl.Int64))

    def vectorised() -> pl.Series:
        with overflow_raises(text):
            return frame.select(amount.to_polars().alias("amount")).to_series()

    try:
        expected = [amount.evaluate(row) for row in table]
    except AmountOverflow:
        with pytest.raises(AmountOverflow):
            vectorised()
    else:
        assert vectorised().to_list() == expected
        assert vectorised().dtype == pl.Int64


@settings(deadline=None)
@given(expressions, expressions, rows)
def test_forms_add_up_like_amounts(one, other, row):
    left, right, both = _parsed(one), _parsed(other), _parsed(f"({one}) - ({other})")
    assert both.form == left.form - right.form
    assert (both.form + right.form) == left.form
    valid = row | {GROSS: sum(row[name] for name in COMPONENTS)}

    def value(form: LinearForm) -> Fraction:
        return form.constant * 100 + sum((factor * valid[name] for name, factor in form.terms), Fraction(0))

    assert value(left.form.in_components()) == value(left.form)


def test_null_amounts_give_null():
    amount = parse_amount(":gross_amount * 0.5 - :ujroh_amount")
    row = dict.fromkeys(VARIABLES, 2) | {"ujroh_amount": None}
    assert amount.evaluate(row) is None
    assert pl.DataFrame([row], dict.fromkeys(VARIABLES, pl.Int64)).select(amount.to_polars()).item() is None


@pytest.mark.parametrize(
    ("text", "minor_units", "expected"),
    [
        (":gross_amount * 0.025", 500_000_00, 12_500_00),
        (":gross_amount * 0.5", 1, 1),
        (":gross_amount * 0.5", -1, -1),
        (":gross_amount * 0.025", 19, 0),
        (":gross_amount * 0.025", 20, 1),
        ("(:gross_amount + :gross_amount) * 0.5 / 4", 100, 25),
        (":gross_amount - 0.005", 0, -1),
        ("- :gross_amount", 5, -5),
        ("2.50", 0, 250),
    ],
)
def test_worked_by_hand(text, minor_units, expected):
    assert parse_amount(text).evaluate(dict.fromkeys(VARIABLES, minor_units)) == expected


@pytest.mark.parametrize(
    ("text", "place", "rule"),
    [
        (":gross_amount * :ujroh_amount", ":ujroh", "multiplied by money"),
        ("2 / :gross_amount", ":gross", "divisor"),
        (":gross_amount / 3", "3", "no finite decimal"),
        (":gross_amount / 0", "0", "not zero"),
        (":gross_amount / (2 - 2)", "2 - 2", "not zero"),
        ("gross_amount * 2", "gross", "with a colon"),
        (":gross_amount * 0.0000000000000000000000001", ":gross", "too many digits"),
        ("99999999999999999999999999999999999999", "999", "too many digits"),
    ],
)
def test_what_has_no_exact_meaning_is_refused(text, place, rule):
    with pytest.raises(ExpressionError, match=rule) as refusal:
        parse_amount(text)
    if rule != "too many digits":
        assert text[refusal.value.position :].startswith(place.lstrip(":")) or text[
            refusal.value.position - 1 :
        ].startswith(place)


def test_division_that_cancels_is_finite():
    assert parse_amount(":gross_amount * 3 / 3").form == LinearForm.variable(GROSS)


def test_plain_amounts_cost_nothing():
    assert str(parse_amount("(:tabarru_amount)").to_polars()) == str(pl.col("tabarru_amount"))


def test_forms_are_shown_as_decimals():
    assert str(parse_amount(":gross_amount * 0.025 - :ujroh_amount / 8 - 1.5").form) == (
        "0.025 * :gross_amount + -0.125 * :ujroh_amount + -1.5"
    )
    assert str(parse_amount("0").form) == "0"
