"""Conditions: the same answer row by row, in Polars, and in an independent database; nulls as in SQL."""

from datetime import date, timedelta

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_assets.accounting.conditions import parse_condition
from ledger_assets.accounting.errors import ExpressionError
from ledger_assets.accounting.money import from_minor
from ledger_assets.accounting.predicates import FIELDS
from ledger_assets_tests.accounting.rule_examples import transaction

TEXTS = ["A", "AB", "A%", "B", "", "é", "a_b"]
CENTS = [-1, 0, 1, 99, 100, 2**53 + 1]
DAYS = [date(2025, 1, 31), date(2025, 2, 1), date(1999, 12, 31)]
COLUMNS = {
    "text": ["channel", "policy_id"],
    "amount": ["gross_amount", "ujroh_amount"],
    "date": ["txn_date", "bank_value_date"],
}

rows = st.fixed_dictionaries(
    {name: st.sampled_from(TEXTS) | st.none() for name in COLUMNS["text"]}
    | {name: st.sampled_from(CENTS) | st.none() for name in COLUMNS["amount"]}
    | {name: st.sampled_from(DAYS) | st.none() for name in COLUMNS["date"]}
)


def _literal(kind: str) -> st.SearchStrategy[str]:
    quoted = st.sampled_from(TEXTS).map(lambda text: "'{}'".format(text.replace("'", "''")))
    days = st.sampled_from(DAYS)
    return {
        "text": quoted,
        "amount": st.sampled_from(CENTS).map(from_minor).map(str),
        "date": days.map("DATE '{}'".format) | days.map("'{}'".format),
    }[kind]


@st.composite
def _comparisons(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(sorted(COLUMNS)))
    column = draw(st.sampled_from(COLUMNS[kind]))
    other = draw(_literal(kind) | st.sampled_from(COLUMNS[kind]))
    literal, negated = _literal(kind), draw(st.sampled_from(["", "NOT "]))
    sign = draw(st.sampled_from(["=", "<>", "!=", "<", "<=", ">", ">="]))
    return draw(
        st.sampled_from(
            [
                f"{column} {sign} {other}",
                f"{other} {sign} {column}",
                f"{column} {negated}IN ({draw(literal)}, {draw(literal)})",
                f"{column} {negated}BETWEEN {draw(literal)} AND {draw(literal)}",
                f"{column} IS {negated}NULL",
                f"policy_id {negated}LIKE {draw(st.sampled_from([*TEXTS, '%', '_', 'A%B', '%é']).map(repr))}",
            ]
        )
    )


conditions = st.recursive(
    _comparisons(),
    lambda part: st.one_of(
        st.tuples(part, st.sampled_from(["AND", "OR"]), part).map(" ".join),
        part.map("({})".format),
        part.map("NOT {}".format),
    ),
    max_leaves=5,
)


def _by_duckdb(text: str, table: list[dict[str, object]]) -> list[bool]:
    """Which rows a database finds; amounts as DECIMAL in major units."""
    amounts = [pl.col(name).cast(pl.Decimal(38, 2)) / 100 for name in COLUMNS["amount"]]
    with duckdb.connect() as database:
        database.register("transactions", _frame(table).with_row_index("n").with_columns(amounts).to_arrow())
        found = database.execute(f"SELECT n FROM transactions WHERE {text}").fetchall()
    return [(number,) in found for number in range(len(table))]


def _frame(table: list[dict[str, object]]) -> pl.DataFrame:
    types = {"text": pl.String, "amount": pl.Int64, "date": pl.Date}
    return pl.DataFrame(table, {name: types[FIELDS[name]] for name in table[0]})


@settings(deadline=None)
@given(conditions, st.lists(rows, min_size=1, max_size=6))
def test_row_by_row_in_polars_and_in_a_database_the_answer_is_one(text, table):
    condition = parse_condition(text)
    answers = _frame(table).select(holds=condition.to_polars()).to_series()
    assert answers.dtype == pl.Boolean
    assert answers.to_list() == [condition.holds(row) for row in table]
    assert answers.to_list() == _by_duckdb(text, table)


@settings(deadline=None)
@given(st.text("ab%_\\.*[]()^$|+?{}-\n é<>#&~ ", max_size=6), st.text("ab%_\\.*[]()^$|+?{}-\n é<>#&~ ", max_size=6))
def test_like_is_the_same_in_both_evaluations(pattern, value):
    text = "policy_id LIKE '{}'".format(pattern.replace("'", "''"))
    try:
        condition = parse_condition(text)
    except ExpressionError:
        assert not pattern.isprintable() or pattern.endswith("\\")
        return
    found = pl.DataFrame({"policy_id": [value]}).select(condition.to_polars()).item()
    assert found is condition.holds({"policy_id": value})


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("policy_id LIKE 'A%'", "AB\nC", True),
        ("policy_id LIKE 'A_'", "A", False),
        (r"policy_id LIKE '100\%'", "100%", True),
        (r"policy_id LIKE '100\%'", "1000", False),
        (r"policy_id LIKE 'a\\%'", "a\\b", True),
        ("policy_id LIKE 'a.c'", "abc", False),
        ("policy_id LIKE 'A'", "A\n", False),
        ("policy_id NOT LIKE 'A%'", "A", False),
        ("policy_id NOT IN ('A')", None, False),
        ("NOT policy_id IS NULL", None, False),
        ("policy_id IS NULL OR policy_id = 'A'", None, True),
        ("policy_id = 'it''s'", "it's", True),
        (":policy_id = 'A'", "A", True),
    ],
)
def test_text_worked_by_hand(text, value, expected):
    assert parse_condition(text).holds(transaction(policy_id=value)) is expected
    column = pl.DataFrame({"policy_id": [value]}, {"policy_id": pl.String})
    assert column.select(parse_condition(text).to_polars()).item() is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NOT (policy_id = 'A' AND channel = 'WEB')", True),
        ("NOT (policy_id = 'A' AND channel = 'AGENT')", False),
        ("policy_id = 'A' OR channel = 'AGENT'", True),
        ("NOT (policy_id = 'A' OR channel = 'WEB')", False),
        ("NOT policy_id = 'A'", False),
    ],
)
def test_unknown_parts_worked_by_hand(text, expected):
    """The policy is null, so that a comparison with it is unknown; the channel is AGENT."""
    row = transaction(policy_id=None)
    assert parse_condition(text).holds(row) is expected
    frame = pl.DataFrame([row], {"policy_id": pl.String, "channel": pl.String})
    assert frame.select(parse_condition(text).to_polars()).item() is expected


@pytest.mark.parametrize("minor", [-1, 0, 100_049, 100_050, 100_051, 2**62, None])
def test_amounts_compare_exactly_in_minor_units(minor):
    condition = parse_condition("gross_amount >= 1000.50")
    assert condition.holds({"gross_amount": minor}) is (minor is not None and minor >= 100_050)


def test_days_compare_as_days():
    day = date(2025, 1, 31)
    for text in ("txn_date <= '2025-01-31'", "txn_date <= DATE '2025-01-31'"):
        assert parse_condition(text).holds({"txn_date": day})
        assert not parse_condition(text).holds({"txn_date": day + timedelta(days=1)})


@pytest.mark.parametrize(
    ("text", "place", "rule"),
    [
        ("channel = 5", "5", "literal of type text"),
        ("gross_amount = '5'", "'5'", "plain decimal"),
        ("gross_amount = DATE '2025-01-01'", "'2025", "literal of type amount"),
        ("gross_amount > 1.005", "1.005", "at most 2 decimals"),
        ("gross_amount > 99999999999999999999", "9999", "does not fit"),
        ("gross_amount = 1e3", "1e3", "plain decimal"),
        ("txn_date = '31.01.2025'", "'31", "not a day"),
        ("txn_date = '2025-02-30'", "'2025", "not a day"),
        ("txn_date = '20250131'", "'2025", "not a day"),
        ("txn_date = 5", "5", "literal of type date"),
        ("gross_amount = txn_date", "txn_date", "of type date, not amount"),
        ("channel = NULL", "NULL", "literal of type text"),
        ("channel IN ('A', NULL)", "NULL", "literal of type text"),
        ("channel IN ()", "channel", "list of literals"),
        ("channel IN (policy_id)", "policy_id", "literal of type text"),
        ("channel IS TRUE", "TRUE", "not part of the language"),
        ("channel LIKE policy_id", "policy_id", "pattern is a literal"),
        ("gross_amount LIKE '5%'", "gross", "holds no text"),
        ("channel ILIKE 'a'", "ILIKE", "not part of the language"),
        ("channel LIKE 'a' ESCAPE '!'", "ESCAPE", "not part of the language"),
        ("gross_amount BETWEEN SYMMETRIC 2 AND 1", "SYMMETRIC", "there is no"),
        ("'A' = 'A'", "'A'", "a column on one side"),
        ("channel", "channel", "not a condition"),
        ("NOT channel", "channel", "not a condition"),
        ("gross_amount + 1 > 2", "+", "not part of the language"),
        ("channel = 'A' OR nonsense = 1", "nonsense", "there is no 'nonsense'"),
        ("channel = 'a\tb'", "'a", "cannot be seen"),
        ("(channel, policy_id) = ('A', 'B')", "channel", "TUPLE"),
        ("lower(channel) = 'a'", "lower", "there is no"),
        ("channel('a')", "(", "operator is missing"),
        ("channel = 'A' AND", "AND", "cannot be read"),
        ("txn_date > DATE", "DATE", "nothing to apply to"),
    ],
)
def test_what_is_not_in_the_language_is_refused_at_its_place(text, place, rule):
    with pytest.raises(ExpressionError, match=rule) as refusal:
        parse_condition(text)
    if rule != "cannot be read":
        assert text[refusal.value.position :].startswith(place)
