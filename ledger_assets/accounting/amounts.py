"""Amount expressions: how much a journal line takes from a transaction.

Here: the language of amounts (`:gross_amount * 0.025`), its meaning as a linear form, and two evaluations of it that
must agree: one row in exact fractions, all rows at once in Polars. Not here: which line has which amount (templates).

Every amount expression is a linear form: each source amount times a number, plus a fixed sum of money. That is what
makes "this template balances for every input" a proof instead of a test (rule_proofs), and evaluation a handful of
integer operations. Hence money times money is refused, and so is a division that has no finite decimal result.

Results are rounded to the minor unit, half away from zero (0.005 becomes 0.01, -0.005 becomes -0.01), once, at the
end. Forms with whole coefficients are exact.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, Self

import polars as pl
from sqlglot import TokenType, exp

from ledger_assets.accounting.errors import AmountOverflow, ExpressionError
from ledger_assets.accounting.expressions import Language, SyntaxTree, read
from ledger_assets.accounting.money import MAX_MINOR, MINOR_PER_MAJOR, from_minor

COMPONENTS: Final = ("tabarru_amount", "tanahud_amount", "ujroh_amount")
"""The parts of a transaction; the source layer guarantees that they add up to `GROSS`."""

GROSS: Final = "gross_amount"

VARIABLES: Final = (GROSS, *COMPONENTS)
"""What an amount expression may refer to: Int64 columns of minor units."""

_BINARY: Final = frozenset({"this", "expression"})
_LANGUAGE: Final = Language(
    tokens=frozenset(
        {
            TokenType.COLON,
            TokenType.VAR,
            TokenType.NUMBER,
            TokenType.PLUS,
            TokenType.DASH,
            TokenType.STAR,
            TokenType.SLASH,
            TokenType.L_PAREN,
            TokenType.R_PAREN,
        }
    ),
    nodes={
        exp.Add: _BINARY,
        exp.Sub: _BINARY,
        exp.Mul: _BINARY,
        # The postgres dialect marks each division as "typed" (integers divide to integers there); ours is exact.
        exp.Div: _BINARY | {"typed"},
        exp.Neg: frozenset({"this"}),
        exp.Paren: frozenset({"this"}),
        exp.Placeholder: frozenset({"this"}),
        exp.Column: frozenset({"this"}),  # only to tell its author about the colon
        exp.Identifier: frozenset({"this"}),
        exp.Literal: frozenset({"this", "is_string"}),
    },
    names=VARIABLES,
    advice="write sums and differences of source amounts times numbers, such as :gross_amount * 0.025",
)
_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
_INT128_LIMIT: Final = 2**127


@dataclass(frozen=True)
class LinearForm:
    """Coefficients of source amounts, and a constant.

    Attributes:
        terms: (variable, coefficient) in the order of the names; no coefficient is zero.
        constant: a fixed sum in major units.
    """

    terms: tuple[tuple[str, Fraction], ...] = ()
    constant: Fraction = Fraction(0)

    @classmethod
    def of(cls, coefficients: Mapping[str, Fraction], constant: Fraction = Fraction(0)) -> Self:
        """The form with these coefficients; zeros are dropped, so that equal forms compare equal."""
        return cls(tuple(sorted((name, value) for name, value in coefficients.items() if value)), constant)

    @classmethod
    def variable(cls, name: str) -> Self:
        """One source amount as it is."""
        return cls(((name, Fraction(1)),))

    def __add__(self, other: "LinearForm") -> "LinearForm":
        mine, theirs = dict(self.terms), dict(other.terms)
        total = {name: mine.get(name, Fraction(0)) + theirs.get(name, Fraction(0)) for name in mine | theirs}
        return LinearForm.of(total, self.constant + other.constant)

    def __neg__(self) -> "LinearForm":
        return self.times(Fraction(-1))

    def __sub__(self, other: "LinearForm") -> "LinearForm":
        return self + -other

    def times(self, factor: Fraction) -> "LinearForm":
        """Every coefficient and the constant times a number."""
        return LinearForm.of({name: value * factor for name, value in self.terms}, self.constant * factor)

    def in_components(self) -> "LinearForm":
        """The same amount with gross written as the sum of its components: two forms that are equal for every valid
        transaction become the same form."""
        coefficients = dict(self.terms)
        gross = coefficients.pop(GROSS, Fraction(0))
        return LinearForm.of(coefficients, self.constant) + LinearForm.of(dict.fromkeys(COMPONENTS, gross))

    @property
    def is_zero(self) -> bool:
        """Whether it is zero for every input."""
        return not self.terms and not self.constant

    @property
    def plain_variable(self) -> str | None:
        """The source amount that it is, if it is one as it stands."""
        (name, coefficient), *more = self.terms or (("", Fraction(0)),)
        return name if coefficient == 1 and not more and not self.constant else None

    @property
    def rounds(self) -> bool:
        """Whether there are inputs for which the result has to be rounded to the minor unit."""
        return _denominator(self) > 1

    def __str__(self) -> str:
        parts = [f"{_decimal(value)} * :{name}" for name, value in self.terms]
        if self.constant or not parts:
            parts.append(_decimal(self.constant))
        return " + ".join(parts)


@dataclass(frozen=True)
class AmountExpression:
    """An amount expression as written, and what it means.

    Attributes:
        text: the expression as its author wrote it; it identifies the rule (and enters its hash).
        form: its meaning.
    """

    text: str
    form: LinearForm = field(compare=False)

    def evaluate(self, row: Mapping[str, int | None]) -> int | None:
        """The amount for one transaction: minor units in, minor units out; null when an amount it needs is null.

        This is the independent twin of `to_polars`: exact fractions, no Polars.

        Raises:
            AmountOverflow: the result is beyond `money.MAX_MINOR`.
        """
        exact = self.form.constant * MINOR_PER_MAJOR
        for name, coefficient in self.form.terms:
            amount = row[name]
            if amount is None:
                return None
            exact += coefficient * amount
        doubled = 2 * abs(exact)
        magnitude = (doubled.numerator + doubled.denominator) // (2 * doubled.denominator)
        if magnitude > MAX_MINOR:
            raise AmountOverflow(
                f"{self.text} = {exact}", f"the amount is beyond {from_minor(MAX_MINOR)}", "check the source amounts"
            )
        return -magnitude if exact < 0 else magnitude

    def to_polars(self) -> pl.Expr:
        """The amounts of all rows at once: an Int64 expression over the columns `VARIABLES`; null where an amount it
        needs is null.

        A single source amount is the column itself and costs nothing. Everything else is computed in Int128, which
        the parser has proven wide enough, and cast back strictly: evaluate it inside `money.overflow_raises`.
        """
        if self.form.plain_variable is not None:
            return pl.col(self.form.plain_variable)
        denominator = _denominator(self.form)
        # A constant alone has no column that would give the result its length; gross times zero has.
        terms = self.form.terms or ((GROSS, Fraction(0)),)
        scaled = _wide(int(self.form.constant * MINOR_PER_MAJOR * denominator))
        for name, coefficient in terms:
            scaled = scaled + pl.col(name).cast(pl.Int128) * _wide(int(coefficient * denominator))
        if denominator > 1:
            scaled = scaled.sign() * ((scaled.abs() + _wide(denominator // 2)) // _wide(denominator))
        return scaled.cast(pl.Int64)


def parse_amount(text: str) -> AmountExpression:
    """Read an amount expression.

    Numbers are plain decimals; operators are + - * / and parentheses; variables are `VARIABLES`, each with a colon.
    A number that stands alone is a sum in major units: `:ujroh_amount - 2.50`.

    Raises:
        ExpressionError: anything else, with its place. No other error leaves this function.
    """
    tree = read(text, _LANGUAGE)
    try:
        form = _linear_form(tree, tree.root)
    except RecursionError as error:
        raise ExpressionError(text, 0, "it is nested too deeply", "leave out parentheses that do nothing") from error
    weights = [abs(coefficient) for _, coefficient in form.terms]
    # Largest intermediate result of to_polars, with every source amount as large as it can be.
    largest = sum(weights, Fraction(1)) * 2**63 + abs(form.constant) * MINOR_PER_MAJOR
    if largest * _denominator(form) >= _INT128_LIMIT:
        raise ExpressionError(text, 0, "its numbers have too many digits to be exact", "use fewer decimals")
    return AmountExpression(text, form)


def _linear_form(tree: SyntaxTree, node: exp.Expr) -> LinearForm:
    match node:
        case exp.Placeholder():
            form = LinearForm.variable(node.name)
        case exp.Literal() if _NUMBER.fullmatch(node.name):
            form = LinearForm(constant=Fraction(node.name))
        case exp.Column():
            raise tree.error(node, "a source amount is written with a colon", f"write :{node.name}")
        case exp.Paren():
            form = _linear_form(tree, node.this)
        case exp.Neg():
            form = -_linear_form(tree, node.this)
        case exp.Add():
            form = _linear_form(tree, node.this) + _linear_form(tree, node.expression)
        case exp.Sub():
            form = _linear_form(tree, node.this) - _linear_form(tree, node.expression)
        case exp.Mul():
            form = _product(tree, node)
        case exp.Div():
            form = _quotient(tree, node)
        case _:  # the reader lets nothing else through but literals
            raise tree.error(node, f"{node.name!r} is not a plain number", "write it like 0.025")
    return form


def _product(tree: SyntaxTree, node: exp.Mul) -> LinearForm:
    left, right = _linear_form(tree, node.this), _linear_form(tree, node.expression)
    if left.terms and right.terms:
        raise tree.error(node.expression, "money cannot be multiplied by money", "multiply an amount by a number")
    return right.times(left.constant) if not left.terms else left.times(right.constant)


def _quotient(tree: SyntaxTree, node: exp.Div) -> LinearForm:
    dividend, divisor = _linear_form(tree, node.this), _linear_form(tree, node.expression)
    if divisor.terms or not divisor.constant:
        raise tree.error(node.expression, "the divisor is a number and not zero", "multiply by a decimal instead")
    quotient = dividend.times(1 / divisor.constant)
    values = [quotient.constant, *(coefficient for _, coefficient in quotient.terms)]
    if not all(_is_finite_decimal(value) for value in values):
        raise tree.error(
            node.expression,
            "the division has no finite decimal result",
            "multiply by a rounded decimal and let another line of the fund take the remainder",
        )
    return quotient


def _denominator(form: LinearForm) -> int:
    """Smallest power of ten that makes every coefficient, and the constant in minor units, a whole number.

    The coefficients are finite decimals: the parser lets no others through.
    """
    denominator = 1
    for value in [form.constant * MINOR_PER_MAJOR, *(coefficient for _, coefficient in form.terms)]:
        while (value * denominator).denominator != 1:
            denominator *= 10
    return denominator


def _is_finite_decimal(value: Fraction) -> bool:
    """Whether the denominator has no prime factor but 2 and 5."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def _decimal(value: Fraction) -> str:
    """A finite decimal as text, exactly."""
    digits = 0
    while (value * 10**digits).denominator != 1:
        digits += 1
    text = str(abs(value.numerator * 10**digits // value.denominator)).rjust(digits + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{text[:-digits]}.{text[-digits:]}" if digits else f"{sign}{text}"


def _wide(value: int) -> pl.Expr:
    """An Int128 literal; a bare Python int would take a type from its size."""
    return pl.lit(value, pl.Int128)
