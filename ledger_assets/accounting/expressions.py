"""Reading the text of a rule expression safely.

Here: from text to a checked syntax tree, and from a node of the tree back to its place in the text. Not here: what
amounts mean (amounts) and what conditions mean (conditions); both are small languages made from this reader.

sqlglot parses far more than a rule may say, and keeps some meaning in arguments that are easy to overlook
(`LIKE` with `negate`, `BETWEEN` with `symmetric`). So a text passes three sieves: its tokens, then the types of its
nodes, then the arguments of each node. What is not listed is refused, with the place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from sqlglot import Token, TokenType, exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import ErrorLevel, ParseError, SqlglotError

from ledger_assets.accounting.errors import ExpressionError

MAX_LENGTH: Final = 2_000
"""Longest expression in characters: a rule that needs more is several rules."""

_PREFIXES: Final = {TokenType.COLON: TokenType.VAR, TokenType.DATE: TokenType.STRING}
_LEAF_TOKENS: Final = frozenset({TokenType.VAR, TokenType.NUMBER, TokenType.STRING, TokenType.NULL})
_OPERAND_ENDS: Final = _LEAF_TOKENS | {TokenType.R_PAREN}
# Two operands side by side would be an alias, a string continued or a function call to sqlglot.
_OPERAND_STARTS: Final = _LEAF_TOKENS | {TokenType.COLON, TokenType.L_PAREN, TokenType.DATE}
_LEAF_NODES: Final = (exp.Identifier, exp.Placeholder, exp.Literal, exp.Null)


@dataclass(frozen=True)
class Language:
    """What a text may consist of.

    Attributes:
        tokens: allowed kinds of token.
        nodes: allowed kinds of node; for each the arguments it may carry.
        names: the names that may occur.
        advice: what the reader may write, completing "write ...".
    """

    tokens: frozenset[TokenType]
    nodes: Mapping[type[exp.Expr], frozenset[str]]
    names: tuple[str, ...]
    advice: str


class SyntaxTree:
    """A parsed text that consists only of what its language allows.

    Attributes:
        root: the outermost node.
    """

    def __init__(self, text: str, tokens: list[Token], root: exp.Expr) -> None:
        self.root = root
        self._text = text
        # sqlglot remembers the place of few nodes. But leaves stand in the tree in the order of the text, so the
        # n-th leaf is the n-th token that makes a leaf.
        leaves = [node for node in root.dfs() if isinstance(node, _LEAF_NODES)]
        starts = [token.start for token in tokens if token.token_type in _LEAF_TOKENS]
        self._places = {id(leaf): start for leaf, start in zip(leaves, starts, strict=False)}

    def error(self, node: exp.Expr, rule: str, fix: str) -> ExpressionError:
        """The refusal of a node, placed at its first leaf."""
        places = (self._places[id(leaf)] for leaf in node.dfs() if id(leaf) in self._places)
        return ExpressionError(self._text, next(places, 0), rule, fix)


def read(text: str, language: Language) -> SyntaxTree:
    """Parse a text and refuse everything that the language does not list.

    Args:
        text: one expression in PostgreSQL's syntax; `:name` is a variable.
        language: what may occur.

    Raises:
        ExpressionError: with the first place that is not allowed. No other error leaves this function.
    """
    if not text.strip() or len(text) > MAX_LENGTH:
        raise ExpressionError(text[:80], 0, f"an expression has 1 to {MAX_LENGTH} characters", language.advice)
    try:
        tokens = Postgres().tokenize(text)
        _check_tokens(text, tokens, language)
        parser = Postgres().parser(error_level=ErrorLevel.IMMEDIATE, error_message_context=len(text))
        roots = parser.parse(tokens, text)
    except ParseError as error:
        place = len(error.errors[0]["start_context"] or "") if error.errors else 0
        raise ExpressionError(text, place, "it cannot be read from here on", language.advice) from error
    except (SqlglotError, UnicodeError) as error:
        raise ExpressionError(text, 0, "it cannot be cut into words and signs", language.advice) from error
    except RecursionError as error:
        raise ExpressionError(text, 0, "it is nested too deeply", "leave out parentheses that do nothing") from error
    if len(roots) != 1 or roots[0] is None:
        raise ExpressionError(text, 0, "there is no expression", language.advice)
    tree = SyntaxTree(text, tokens, roots[0])
    for node in tree.root.dfs():
        _check_node(tree, node, language)
    return tree


def _check_tokens(text: str, tokens: list[Token], language: Language) -> None:
    for token, following in pairwise([*tokens, None]):
        assert token is not None  # noqa: S101 - only the last of the pairs has none, and as its second
        kind = token.token_type
        if kind not in language.tokens:
            shown = text[token.start : token.end + 1]
            raise ExpressionError(text, token.start, f"{shown!r} is not part of the language", language.advice)
        if token.comments:
            # Dropping it would turn `:gross_amount --2` into :gross_amount.
            raise ExpressionError(text, token.start, "a comment beside this is not part of the language", "remove it")
        if kind == TokenType.VAR and token.text not in language.names:
            known = ", ".join(language.names)
            raise ExpressionError(text, token.start, f"there is no {token.text!r} here", f"use one of {known}")
        after = following.token_type if following else None
        if kind in _PREFIXES and after != _PREFIXES[kind]:
            raise ExpressionError(text, token.start, f"{token.text!r} has nothing to apply to", language.advice)
        if following and kind in _OPERAND_ENDS and after in _OPERAND_STARTS:
            raise ExpressionError(text, following.start, "an operator is missing before this", language.advice)


def _check_node(tree: SyntaxTree, node: exp.Expr, language: Language) -> None:
    allowed = language.nodes.get(type(node))
    if allowed is None:
        raise tree.error(node, f"{node.key.upper()} is not part of the language", language.advice)
    if isinstance(node, exp.Identifier | exp.Placeholder) and node.name not in language.names:
        # A keyword that sqlglot takes for a name where no keyword can stand.
        raise tree.error(node, f"{node.name!r} cannot stand here", language.advice)
    for name, value in node.args.items():
        # False, None and [] are how sqlglot says "not there".
        if value and name not in allowed:
            raise tree.error(node, f"{node.key.upper()} cannot be combined with {name.upper()}", language.advice)
