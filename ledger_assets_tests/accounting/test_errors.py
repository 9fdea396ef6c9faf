"""Errors name culprit, rule and fix; they survive pickling, because workers raise them in other processes."""

import pickle

from ledger_assets.accounting.errors import AmountOverflow, ExpressionError, LedgerError


def test_message_names_culprit_rule_and_fix() -> None:
    error = LedgerError("chart.toml, account 1100-10", "an account code occurs once", "remove one of the two")
    assert str(error) == "chart.toml, account 1100-10: an account code occurs once. Fix: remove one of the two."


def test_expression_error_puts_a_caret_below_the_place() -> None:
    error = ExpressionError(":gross_amount * :ujroh_amount", 16, "money times money", "multiply by a number")
    *_, quoted, caret = str(error).splitlines()
    assert quoted[caret.index("^")] == ":"
    assert quoted.strip() == ":gross_amount * :ujroh_amount"
    assert caret.index("^") - 4 == 16


def test_expression_error_quotes_only_the_line_of_the_place() -> None:
    error = ExpressionError("a = 1\n\tAND b ~ 2\nAND c = 3", 13, "no such operator", "use =")
    *_, quoted, caret = str(error).splitlines()
    assert quoted == "    \tAND b ~ 2"
    assert caret == "    \t      ^"


def test_expression_error_at_the_end_of_the_text() -> None:
    assert str(ExpressionError("a =", 3, "it ends early", "finish it")).endswith("a =\n       ^")


def test_errors_survive_pickling() -> None:
    for error in (LedgerError("a", "b", "c"), AmountOverflow("a", "b", "c"), ExpressionError("x y", 2, "b", "c")):
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
        assert type(copy) is type(error)
        assert str(copy) == str(error)
        assert vars(copy) == vars(error)
