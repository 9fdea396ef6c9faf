"""Transactions that become no entry: why, and in words that help to put it right (B6).

Here: the reasons and their texts. Not here: where a reason is found (template_matching, entry_amounts).
"""

from collections.abc import Collection
from typing import Final

import polars as pl

from ledger_assets.accounting.amounts import VARIABLES
from ledger_assets.accounting.entry_amounts import NEGATIVE_AMOUNT, NO_AMOUNT, OUT_OF_BALANCE
from ledger_assets.accounting.masking import COMMON_CHANNELS, NONE, UNLISTED
from ledger_assets.accounting.money import MINOR_PER_MAJOR, SCALE

NO_TEMPLATE: Final = "NO_TEMPLATE"
"""No template applies."""

AMBIGUOUS_TEMPLATE: Final = "AMBIGUOUS_TEMPLATE"
"""Several templates apply with the same priority."""

EXCEPTIONS: Final = pl.Schema(
    {"load_id": pl.Int32, "row_number": pl.Int32, "txn_id": pl.String, "reason": pl.String, "detail": pl.String}
)

_WHAT_IS_WRONG: Final = {
    NO_TEMPLATE: "no template applies",
    AMBIGUOUS_TEMPLATE: "{templates} apply with the same priority",
    NEGATIVE_AMOUNT: "{templates} would make a line below zero",
    OUT_OF_BALANCE: "{templates} would not balance, or the components do not add up to gross",
    NO_AMOUNT: "{templates} would make no line, every amount is zero",
}


def explain(transactions: pl.DataFrame, failed: pl.DataFrame, listed: Collection[str]) -> pl.DataFrame:
    """The exceptions of an expansion.

    Args:
        transactions: all transactions, see `posting.TRANSACTIONS`.
        failed: one row per exception: `row` (UInt32, its position in the transactions), `reason`, `templates` (names).
        listed: the types, products and channels that the rules name; others are not quoted, they may be anything,
            but for common channels, as in the papers: rules that take any channel name none.

    Returns:
        `EXCEPTIONS` in the order of the transactions. `detail` names type, product, channel and day, the templates
        concerned, and for impossible amounts the amounts in major units.
    """
    failed = failed.sort("row")
    return (
        pl.concat([transactions[failed["row"]], failed.select("reason", "templates")], how="horizontal")
        .with_columns(detail=_detail(listed))
        .select(EXCEPTIONS.names())
        .cast(EXCEPTIONS)
    )


def _detail(listed: Collection[str]) -> pl.Expr:
    wrong = pl.col("reason").replace_strict(_WHAT_IS_WRONG, return_dtype=pl.String)
    return pl.format(
        "{} for type {}, product {}, channel {}, value date {}{}",
        wrong.str.replace("{templates}", pl.col("templates"), literal=True),
        _code("txn_type", listed),
        _code("product_code", listed),
        _code("channel", {*listed, *COMMON_CHANNELS}),
        pl.col("bank_value_date").dt.to_string("%Y-%m-%d"),
        pl.when(pl.col("reason").is_in([NO_TEMPLATE, AMBIGUOUS_TEMPLATE]))
        .then(pl.lit(""))
        .otherwise(pl.format(": " + ", ".join(f"{name} {{}}" for name in VARIABLES), *map(_major, VARIABLES))),
    )


def _code(column: str, listed: Collection[str]) -> pl.Expr:
    """As `masking.masked_code`, of a column."""
    is_listed = pl.col(column).is_in(sorted(listed))
    return (
        pl.when(pl.col(column).is_null())
        .then(pl.lit(NONE))
        .when(is_listed)
        .then(pl.col(column))
        .otherwise(pl.lit(UNLISTED))
    )


def _major(column: str) -> pl.Expr:
    """Minor units as text in major units."""
    wide = pl.col(column).cast(pl.Int128).abs()
    return pl.format(
        "{}{}.{}",
        pl.when(pl.col(column) < 0).then(pl.lit("-")).otherwise(pl.lit("")),
        wide // MINOR_PER_MAJOR,
        (wide % MINOR_PER_MAJOR).cast(pl.String).str.zfill(SCALE),
    )
