"""Condition expressions: to which transactions a template match applies.

`channel IN ('AGENT', 'BANK') AND gross_amount >= 1000.00`

Here: from text to a `Condition`, with every name, literal and type checked at its place. Not here: how conditions are
evaluated, nulls included (predicates), and how any expression is read (expressions).

The language: `=`, `<>`, `<`, `<=`, `>`, `>=`, BETWEEN, IN with literals, LIKE with a literal, IS [NOT] NULL, AND, OR,
NOT and parentheses, over the columns `conditions.FIELDS` (a colon before a name is allowed, as in amounts). Literals:
text in single quotes, amounts as decimals in major units, days as 'YYYY-MM-DD' with or without DATE before it.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl
from sqlglot import TokenType, exp

from ledger_assets.accounting.errors import AmountError, ExpressionError
from ledger_assets.accounting.expressions import Language, SyntaxTree, read
from ledger_assets.accounting.money import to_minor
from ledger_assets.accounting.predicates import (
    FIELDS,
    All,
    Comparison,
    Constant,
    Field,
    IsNull,
    Kind,
    Like,
    Membership,
    Node,
    Not,
    Row,
    Some,
)

_SIGNS: Final[dict[type[exp.Expr], str]] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_BINARY: Final = frozenset({"this", "expression"})
_UNARY: Final = frozenset({"this"})
_LANGUAGE: Final = Language(
    tokens=frozenset(
        {
            *(TokenType.VAR, TokenType.COLON, TokenType.STRING, TokenType.NUMBER, TokenType.DASH, TokenType.DATE),
            *(TokenType.EQ, TokenType.NEQ, TokenType.LT, TokenType.LTE, TokenType.GT, TokenType.GTE),
            *(TokenType.BETWEEN, TokenType.IN, TokenType.LIKE, TokenType.IS, TokenType.NULL),
            *(TokenType.AND, TokenType.OR, TokenType.NOT),
            *(TokenType.L_PAREN, TokenType.R_PAREN, TokenType.COMMA),
        }
    ),
    nodes={
        **dict.fromkeys(_SIGNS, _BINARY),
        exp.And: _BINARY,
        exp.Or: _BINARY,
        exp.Not: _UNARY,
        exp.Paren: _UNARY,
        exp.Between: frozenset({"this", "low", "high"}),
        exp.In: frozenset({"this", "expressions"}),
        exp.Like: _BINARY | {"negate"},
        exp.Is: _BINARY | {"negate"},
        exp.Null: frozenset(),
        exp.Column: _UNARY,
        exp.Identifier: _UNARY,
        exp.Placeholder: _UNARY,
        exp.Literal: frozenset({"this", "is_string"}),
        exp.Neg: _UNARY,
        exp.Cast: frozenset({"this", "to"}),
        exp.DataType: _UNARY,
    },
    names=tuple(FIELDS),
    advice="compare columns with literals, such as channel = 'AGENT' AND gross_amount >= 1000.00",
)
_AMOUNT: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EXAMPLES: Final[dict[Kind, str]] = {"text": "'AGENT'", "amount": "1000.00", "date": "'2025-01-31'"}


@dataclass(frozen=True)
class Condition:
    """A condition as written, and what it means.

    Attributes:
        text: the condition as its author wrote it; it identifies the rule (and enters its hash).
        node: its meaning.
    """

    text: str
    node: Node

    def holds(self, row: Row) -> bool:
        """Whether it is true for a transaction; unknown counts as not true."""
        return self.node.truth(row) is True

    def to_polars(self) -> pl.Expr:
        """Whether it is true, for all rows at once: Boolean without nulls."""
        return self.node.to_polars().fill_null(value=False)


def parse_condition(text: str) -> Condition:
    """Read a condition.

    Raises:
        ExpressionError: anything that is not in the language (see the module), and a literal of the wrong type, with
            its place. No other error leaves this function.
    """
    tree = read(text, _LANGUAGE)
    try:
        return Condition(text, _node(tree, tree.root))
    except RecursionError as error:
        raise ExpressionError(text, 0, "it is nested too deeply", "leave out parentheses that do nothing") from error


def _node(tree: SyntaxTree, node: exp.Expr) -> Node:
    match node:
        case exp.Paren():
            result = _node(tree, node.this)
        case exp.Not():
            result = Not(_node(tree, node.this))
        case exp.And():
            result = All(_parts(tree, node, exp.And))
        case exp.Or():
            result = Some(_parts(tree, node, exp.Or))
        case exp.Is():
            result = _is_null(tree, node)
        case exp.Like():
            result = _like(tree, node)
        case exp.In():
            result = _membership(tree, node)
        case exp.Between():
            low = _comparison(tree, ">=", node.this, node.args["low"])
            result = All((low, _comparison(tree, "<=", node.this, node.args["high"])))
        case exp.EQ() | exp.NEQ() | exp.LT() | exp.LTE() | exp.GT() | exp.GTE():
            result = _comparison(tree, _SIGNS[type(node)], node.this, node.expression)
        case _:
            raise tree.error(node, "this is not a condition", _LANGUAGE.advice)
    return result


def _parts(tree: SyntaxTree, node: exp.Expr, kind: type[exp.And | exp.Or]) -> tuple[Node, ...]:
    """The operands of a chain `a AND b AND c`, from left to right; sqlglot nests them to the left."""
    parts: list[Node] = []
    while isinstance(node, kind):
        parts.append(_node(tree, node.expression))
        node = node.this
    return (_node(tree, node), *reversed(parts))


def _is_null(tree: SyntaxTree, node: exp.Is) -> Node:
    if not isinstance(node.expression, exp.Null):
        raise tree.error(node, "IS is for NULL only", "write IS NULL or IS NOT NULL, or compare with =")
    test = IsNull(_field(tree, node.this))
    return Not(test) if node.args.get("negate") else test


def _like(tree: SyntaxTree, node: exp.Like) -> Node:
    field = _field(tree, node.this)
    pattern = node.expression
    if FIELDS[field.name] != "text":
        raise tree.error(node.this, f"{field.name} holds no text", "use LIKE with text columns")
    if not (isinstance(pattern, exp.Literal) and pattern.is_string):
        raise tree.error(pattern, "the pattern is a literal", "write it like 'HYBRID%'")
    unpaired = len(pattern.name) - len(pattern.name.rstrip("\\"))
    if unpaired % 2:
        raise tree.error(pattern, "a backslash at the end takes nothing", r"write \\ for a backslash")
    test = Like(field, _text(tree, pattern))
    return Not(test) if node.args.get("negate") else test


def _membership(tree: SyntaxTree, node: exp.In) -> Node:
    field = _field(tree, node.this)
    if not node.expressions:
        raise tree.error(node, "IN has a list of literals", f"write IN ({_EXAMPLES[FIELDS[field.name]]})")
    constants = (_constant(tree, item, FIELDS[field.name]) for item in node.expressions)
    return Membership(field, tuple(constant.content for constant in constants))


def _comparison(tree: SyntaxTree, sign: str, left: exp.Expr, right: exp.Expr) -> Comparison:
    left, right = left.unnest(), right.unnest()
    if _is_column(left):
        kind = FIELDS[left.name]
    elif _is_column(right):
        kind = FIELDS[right.name]
    else:
        raise tree.error(left, "a comparison has a column on one side", "compare a column with a literal")
    return Comparison(sign, _operand(tree, left, kind), _operand(tree, right, kind))


def _operand(tree: SyntaxTree, node: exp.Expr, kind: Kind) -> Field | Constant:
    if not _is_column(node):
        return _constant(tree, node, kind)
    if FIELDS[node.name] != kind:
        raise tree.error(
            node, f"{node.name} is a column of type {FIELDS[node.name]}, not {kind}", "compare columns of one type"
        )
    return Field(node.name)


def _field(tree: SyntaxTree, node: exp.Expr) -> Field:
    if not _is_column(node.unnest()):
        raise tree.error(node, "a column is expected here", f"use one of {', '.join(FIELDS)}")
    return Field(node.unnest().name)


def _is_column(node: exp.Expr) -> bool:
    # The reader has checked the name.
    return isinstance(node, exp.Column | exp.Placeholder)


def _constant(tree: SyntaxTree, node: exp.Expr, kind: Kind) -> Constant:
    """A literal of the kind that the other side of the comparison has."""
    match kind:
        case "text" if isinstance(node, exp.Literal) and node.is_string:
            return Constant(_text(tree, node))
        case "amount" if isinstance(node, exp.Literal | exp.Neg):
            return Constant(_minor(tree, node))
        case "date":
            literal = node.this if isinstance(node, exp.Cast) and node.to.is_type("date") else node
            if isinstance(literal, exp.Literal) and literal.is_string:
                return Constant(_day(tree, literal))
    raise tree.error(node, f"a literal of type {kind} is expected here", f"write it like {_EXAMPLES[kind]}")


def _text(tree: SyntaxTree, node: exp.Literal) -> str:
    if not node.name.isprintable():
        raise tree.error(node, "the text has characters that cannot be seen", "leave them out")
    return node.name


def _minor(tree: SyntaxTree, node: exp.Expr) -> int:
    literal = node.this if isinstance(node, exp.Neg) else node
    if not (isinstance(literal, exp.Literal) and not literal.is_string and _AMOUNT.fullmatch(literal.name)):
        raise tree.error(node, "an amount is a plain decimal", "write it like 1000.00")
    try:
        minor = to_minor(literal.name)
    except AmountError as error:
        raise tree.error(node, error.rule, error.fix) from error
    return -minor if isinstance(node, exp.Neg) else minor


def _day(tree: SyntaxTree, node: exp.Literal) -> date:
    try:
        # Only this one of the forms that fromisoformat takes.
        day = date.fromisoformat(node.name) if _DAY.fullmatch(node.name) else None
    except ValueError:
        day = None
    if day is None:
        raise tree.error(node, f"{node.name!r} is not a day", "write it like '2025-01-31'")
    return day
