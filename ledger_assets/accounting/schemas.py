"""What a good source transaction is, and the verdict on each row of a delivery.

Here: the columns, the rules (each with a stable code, a text and a fix), the Pandera schema made from them, and
`judge`, which parts rows into accepted and rejected. Not here: whether a file can be read at all
(storage.source_files), and whether a product has rules: an unknown product is a question for the exception queue, not
a bad row.

The rules are stated once. Pandera checks a frame against all of them; only when it objects is each row asked which
rules it breaks, and what was accepted goes through Pandera again.
"""

from calendar import monthrange
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaErrors

from ledger_assets.accounting.amounts import COMPONENTS, GROSS
from ledger_assets.accounting.amounts import VARIABLES as AMOUNTS
from ledger_assets.accounting.months import first_day

TEXTS: Final = ("txn_id", "txn_type", "policy_id", "product_code", "channel", "currency")
DATES: Final = ("txn_date", "bank_value_date")

SOURCE_COLUMNS: Final = (
    "txn_id", "txn_type", "policy_id", "product_code", "channel", *DATES, "currency", *AMOUNTS,
)  # fmt: skip
"""The twelve columns of a transaction, in the order of the table."""

AMOUNT: Final = pl.Decimal(18, 2)
LONGEST_TEXT: Final = 200
"""Bytes of an identifier or code: far more than any has, far less than an index entry can hold."""

_LARGEST: Final = 10**16
"""Amounts stay below this, in major units: 16 digits before the point."""


@dataclass(frozen=True)
class Reason:
    """Why a row is rejected, for the person who has to mend it."""

    text: str
    fix: str


class Expectation(NamedTuple):
    """What a delivery is measured against."""

    period: str
    currency: str


class Judgement(NamedTuple):
    """Rows parted by `judge`; together they are the rows that were given.

    Attributes:
        accepted: the twelve source columns, amounts as Decimal(18, 2), and row_number (Int32), in the given order.
        rejected: row_number (Int32), txn_id (String, null where missing or too long), reasons (list of codes from
            `REASONS`) and raw, the row as it was delivered, as the text of a JSON object.
    """

    accepted: pl.DataFrame
    rejected: pl.DataFrame


DUPLICATE: Final = "DUPLICATE_TXN_ID"

REJECTED: Final = pl.Schema([
    ("row_number", pl.Int32()), ("txn_id", pl.String()), ("reasons", pl.List(pl.String)), ("raw", pl.String()),
])  # fmt: skip

REASONS: Final[Mapping[str, Reason]] = {
    "MISSING_TXN_ID": Reason("the transaction has no id", "deliver it with the id of the source system"),
    "MISSING_TYPE": Reason("the transaction has no type", "deliver it with its type, such as PREMIUM or CLAIM"),
    "MISSING_POLICY": Reason("the transaction names no policy", "deliver it with its policy_id"),
    "MISSING_PRODUCT": Reason("the transaction names no product", "deliver it with its product_code"),
    "MISSING_CHANNEL": Reason("the transaction names no channel", "deliver it with its channel"),
    "MISSING_CURRENCY": Reason("the transaction names no currency", "deliver it with its currency"),
    "MISSING_DATE": Reason("txn_date or bank_value_date is empty", "deliver it with both dates"),
    "MISSING_AMOUNT": Reason("an amount is empty", "deliver gross and all three components; write 0.00 for none"),
    "TEXT_TOO_LONG": Reason(f"an identifier is longer than {LONGEST_TEXT} bytes", "check the columns of the file"),
    "WRONG_MONTH": Reason("bank_value_date is in another month", "ingest the row for the month of bank_value_date"),
    "WRONG_CURRENCY": Reason("the books are kept in another currency", "convert it, or keep it out of this ledger"),
    "TOO_MANY_DECIMALS": Reason(
        "an amount has more than two decimals", "round it at the source: nothing is rounded here"
    ),
    "AMOUNT_TOO_LARGE": Reason("an amount has more than 16 digits before the point", "check the unit of the amounts"),
    "ZERO_AMOUNT": Reason(
        "gross_amount is zero", "leave the row out, or skip it with [skip] zero_amounts in the mapping"
    ),
    "NEGATIVE_AMOUNT": Reason("an amount is negative", "deliver a reversal as a transaction of its own type"),
    "COMPONENTS_DO_NOT_ADD_UP": Reason(
        "gross_amount is not tabarru_amount + tanahud_amount + ujroh_amount", "correct the split at the source"
    ),
    DUPLICATE: Reason(
        "the period has an accepted row with this txn_id, and other content", "give it an id of its own or leave it out"
    ),
}
"""Every reason by its code. Codes are stable: reports, tests and people rely on them."""


def judge(frame: pl.DataFrame, *, period: str, currency: str, raw: pl.DataFrame | None = None) -> Judgement:
    """Part the rows of a delivery into accepted and rejected ones.

    A row is rejected with every reason that applies, in the order of `REASONS`. It is a duplicate if an earlier row of
    the frame is accepted and has its txn_id, so the first good one stays.

    Args:
        frame: row_number (Int32) and the twelve source columns: String, Date, and Decimal of any precision and scale.
            Empty values are null.
        period: the month, `YYYY-MM`.
        currency: the currency of the books.
        raw: the same rows, in the same order, as they were delivered; `frame` itself if left out.

    Raises:
        PeriodError: the period is no month.
        pandera.errors.SchemaErrors: a row was accepted that the schema refuses. A fault of this module.
    """
    schema = good_transactions(period, currency)
    if _holds_only_valid_amounts(frame):
        typed = _typed(frame)
        try:
            schema.validate(typed, lazy=True)
        except SchemaErrors:
            pass  # some row is bad: below, each row is asked which rules it breaks
        else:
            return Judgement(typed, REJECTED.to_frame())
    broken = _broken_rules(frame, Expectation(period, currency))
    is_bad = broken.select(pl.any_horizontal(pl.all())).to_series()
    accepted = _typed(frame.filter(~is_bad))
    schema.validate(accepted, lazy=True)
    delivered = frame if raw is None else raw
    return Judgement(accepted, _rejected(frame.filter(is_bad), broken.filter(is_bad), delivered.filter(is_bad)))


def refuse(frame: pl.DataFrame, raw: pl.DataFrame, code: str) -> pl.DataFrame:
    """All rows rejected for one reason that only their surroundings give, as `Judgement.rejected`.

    Args:
        frame: row_number and txn_id.
        raw: the same rows, in the same order, as they were delivered.
        code: from `REASONS`.
    """
    return _rejected(frame, frame.select(pl.repeat(value=True, n=pl.len()).alias(code)), raw)


@lru_cache(maxsize=16)
def good_transactions(period: str, currency: str) -> pa.DataFrameSchema:
    """The schema of accepted transactions of a month: columns, types, and every rule of a row.

    Validate eager frames with `lazy=True`. On a LazyFrame Pandera checks the columns only, and bad rows pass.
    """
    types: dict[str, type[pl.DataType] | pl.DataType] = dict.fromkeys(SOURCE_COLUMNS, pl.String)
    types |= dict.fromkeys(DATES, pl.Date) | dict.fromkeys(AMOUNTS, AMOUNT)
    broken = {**_rules(Expectation(period, currency)), DUPLICATE: _is_repeated()}
    return pa.DataFrameSchema(
        {name: pa.Column(types[name], nullable=False) for name in SOURCE_COLUMNS} | {"row_number": pa.Column(pl.Int32)},
        checks=[_check(code, rule) for code, rule in broken.items()],
        strict=True,
        name=f"transactions of {period} in {currency}",
    )


def _rules(expected: Expectation) -> dict[str, pl.Expr]:
    """For each code an expression that is true where a row breaks the rule; null or false where it does not.

    A missing value breaks only the rule that it must be there.
    """
    first = first_day(expected.period)
    last = first.replace(day=monthrange(first.year, first.month)[1])
    gross = pl.col(GROSS)
    return {
        "MISSING_TXN_ID": pl.col("txn_id").is_null(),
        "MISSING_TYPE": pl.col("txn_type").is_null(),
        "MISSING_POLICY": pl.col("policy_id").is_null(),
        "MISSING_PRODUCT": pl.col("product_code").is_null(),
        "MISSING_CHANNEL": pl.col("channel").is_null(),
        "MISSING_CURRENCY": pl.col("currency").is_null(),
        "MISSING_DATE": _any(pl.col(name).is_null() for name in DATES),
        "MISSING_AMOUNT": _any(pl.col(name).is_null() for name in AMOUNTS),
        "TEXT_TOO_LONG": _any(pl.col(name).str.len_bytes() > LONGEST_TEXT for name in TEXTS),
        "WRONG_MONTH": ~pl.col("bank_value_date").is_between(first, last),
        "WRONG_CURRENCY": pl.col("currency") != expected.currency,
        # A cast loses further decimals silently: what is still equal had none.
        "TOO_MANY_DECIMALS": _any(
            pl.col(name).cast(pl.Decimal(38, 2), strict=False) != pl.col(name) for name in AMOUNTS
        ),
        "AMOUNT_TOO_LARGE": _any(pl.col(name).abs() >= _LARGEST for name in AMOUNTS),
        "ZERO_AMOUNT": gross == 0,
        "NEGATIVE_AMOUNT": _any(pl.col(name) < 0 for name in AMOUNTS),
        "COMPONENTS_DO_NOT_ADD_UP": gross != pl.sum_horizontal(COMPONENTS, ignore_nulls=False),
    }


def _any(conditions: Iterable[pl.Expr]) -> pl.Expr:
    return pl.any_horizontal(conditions)


def _is_repeated() -> pl.Expr:
    return ~pl.col("txn_id").is_first_distinct() & pl.col("txn_id").is_not_null()


def _check(code: str, broken: pl.Expr) -> pa.Check:
    """The rule as Pandera takes it. One failure case is enough: `judge` finds the rows itself, with their reasons."""

    def holds(data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(~broken.fill_null(value=False))

    return pa.Check(holds, name=code, error=code, description=REASONS[code].text, n_failure_cases=1)


def _broken_rules(frame: pl.DataFrame, expected: Expectation) -> pl.DataFrame:
    """One boolean column for each code, without nulls: does the row break the rule?"""
    broken = frame.select(rule.fill_null(value=False).alias(code) for code, rule in _rules(expected).items())
    if frame["txn_id"].n_unique() == frame.height:
        return broken.with_columns(pl.lit(value=False).alias(DUPLICATE))
    rows = frame.select("row_number", "txn_id", is_good=~broken.select(pl.any_horizontal(pl.all())).to_series())
    first_good = rows.filter("is_good").group_by("txn_id").agg(first=pl.col("row_number").min())
    repeated = rows.join(first_good, on="txn_id").filter(pl.col("row_number") > pl.col("first"))["row_number"]
    return broken.with_columns(frame["row_number"].is_in(repeated.implode()).alias(DUPLICATE))


def _holds_only_valid_amounts(frame: pl.DataFrame) -> bool:
    """Whether the types alone say that no amount has too many digits before or after the point."""
    types = [frame.schema[name] for name in AMOUNTS]
    return all(isinstance(kind, pl.Decimal) and (kind.scale, kind.precision) == (2, 18) for kind in types)


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(*SOURCE_COLUMNS, "row_number").with_columns(pl.col(AMOUNTS).cast(AMOUNT))


def _rejected(bad: pl.DataFrame, broken: pl.DataFrame, raw: pl.DataFrame) -> pl.DataFrame:
    """Rows as `REJECTED` describes them; the three frames are the same rows in the same order."""
    codes = [pl.when(code).then(pl.lit(code)) for code in broken.columns]
    return bad.select(
        "row_number",
        # An index is on it, which takes no more; the whole of it is in raw.
        pl.when(pl.col("txn_id").str.len_bytes() <= LONGEST_TEXT).then("txn_id"),
        reasons=broken.select(pl.concat_list(codes).list.drop_nulls()).to_series(),
        # jsonb holds everything but NUL.
        raw=raw.select(
            pl.struct(
                pl.all().cast(pl.String).str.replace_all("\0", "\N{REPLACEMENT CHARACTER}", literal=True)
            ).struct.json_encode()
        ).to_series(),
    )
