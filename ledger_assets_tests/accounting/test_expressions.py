"""The reader of expressions: nothing but what a language lists comes through, and every refusal has a place."""

import string
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlglot import TokenType, exp

from ledger_assets.accounting.amounts import parse_amount
from ledger_assets.accounting.conditions import parse_condition
from ledger_assets.accounting.errors import ExpressionError
from ledger_assets.accounting.expressions import Language, read

PIECES = (
    *(
        ":",
        "::",
        ";",
        ",",
        ".",
        "(",
        ")",
        "+",
        "-",
        "*",
        "/",
        "%",
        "=",
        "<>",
        "<",
        ">=",
        "||",
        "->",
        "@>",
        "--",
        "/*",
        "*/",
    ),
    *(
        ":gross_amount",
        "gross_amount",
        ":ujroh_amount",
        "channel",
        "txn_date",
        "policy_id",
        "nonsense",
        "1",
        "0.5",
        "1e9",
    ),
    *(
        "'A'",
        "'2025-01-01'",
        "'\\'",
        "E'x'",
        "$$x$$",
        '"channel"',
        "DATE",
        "INTERVAL",
        "NULL",
        "TRUE",
        "NOT",
        "AND",
        "OR",
    ),
    *(
        "IN",
        "LIKE",
        "ILIKE",
        "BETWEEN",
        "SYMMETRIC",
        "IS",
        "ESCAPE",
        "SELECT",
        "FROM",
        "CASE",
        "WHEN",
        "CAST",
        "AS",
        "ANY",
    ),
    *("EXISTS", "OVER", "ARRAY", "[", "]", "{", "}", "?", "$1", "abs", "now", "COLLATE", "DISTINCT", "OVERLAPS"),
)
LEGAL = (
    *(
        "(",
        ")",
        "=",
        "<>",
        ">=",
        "AND",
        "OR",
        "NOT",
        "IN",
        "LIKE",
        "BETWEEN",
        "IS",
        "NULL",
        "DATE",
        ",",
        "+",
        "-",
        "*",
        "/",
    ),
    *("channel", "gross_amount", "txn_date", ":", ":gross_amount", "1", "'A'", "'2025-01-01'"),
)
texts = (
    st.lists(st.sampled_from(LEGAL), max_size=9).map(" ".join)
    | st.text()
    | st.text(string.printable)
    | st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join)
)


def _refusal(parse: Callable[[str], object], text: str) -> ExpressionError | None:
    try:
        parse(text)
    except ExpressionError as error:
        return error
    return None


@pytest.mark.parametrize("parse", [parse_amount, parse_condition])
@settings(deadline=None)
@given(text=texts)
@example(text="channel = : IN")
@example(text="IN = 1")
@example(text="channel IN 'A'")
@example(text="DATE > 5")
@example(text="channel = '\ud800'")
def test_whatever_the_text_only_expression_errors_come_out(parse, text):
    refusal = _refusal(parse, text)
    if refusal:
        assert 0 <= refusal.position <= len(refusal.text)
        assert refusal.rule
        assert refusal.fix
        assert str(refusal).endswith("^")


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0),
        (" ", 0),
        (":gross_amount; DROP TABLE t", 13),
        (":gross_amount::float8", 13),
        (":gross_amount ** 2", 17),
        ("abs(:gross_amount)", 0),
        (":gross_amount + :nonsense", 17),
        (":gross_amount + ", 14),
        (":gross_amount :ujroh_amount", 14),
        (":gross_amount (2)", 14),
        ("(SELECT 1)", 1),
        (":gross_amount * 1e3", 16),
        (": 5", 0),
        ("$1", 0),
        (":gross_amount --2", 1),
        ("/* half */ :gross_amount * 0.5", 11),
        (":gross_amount /* all */ * 1", 1),
        ("(" * 1500 + "1" + ")" * 1500, 0),
        ("1" + "+1" * 2000, 0),
    ],
)
def test_refusals_point_at_the_place(text, position):
    with pytest.raises(ExpressionError) as refusal:
        parse_amount(text)
    assert refusal.value.position == position


def test_deep_nesting_is_refused_and_not_a_crash():
    for text in ("(" * 900 + "1" + ")" * 900, "-" + " -" * 900 + "1"):
        with pytest.raises(ExpressionError, match="nested too deeply"):
            parse_amount(text)


def test_arguments_of_a_node_are_checked_and_not_only_its_kind() -> None:
    """NOT LIKE is a LIKE to sqlglot, with an argument that says the contrary."""
    language = Language(
        tokens=frozenset({TokenType.VAR, TokenType.NOT, TokenType.LIKE, TokenType.STRING}),
        nodes={
            **dict.fromkeys((exp.Column, exp.Identifier), frozenset({"this"})),
            exp.Like: frozenset({"this", "expression"}),
            exp.Literal: frozenset({"this", "is_string"}),
        },
        names=("a",),
        advice="write a LIKE 'x'",
    )
    assert isinstance(read("a LIKE 'x'", language).root, exp.Like)
    with pytest.raises(ExpressionError, match="LIKE cannot be combined with NEGATE"):
        read("a NOT LIKE 'x'", language)
