"""Named ways for generated transactions to be wrong (A11), and the control that must catch each of them.

Here: the registry. Not here: the generator that applies it (generation) and the controls themselves (schemas, the
source reader, the exception queue).

Where it can, a defect breaks exactly one rule, so that a test can tell which control caught it: negative amounts still
add up, a wrong month leaves the amounts alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import polars as pl

from ledger_assets.accounting.amounts import VARIABLES as AMOUNTS
from ledger_assets.accounting.errors import LedgerError

Control = Literal["reader", "rejection", "exception_queue"]


@dataclass(frozen=True)
class Defect:
    """One way to be wrong.

    Attributes:
        description: what is wrong, for a person.
        control: who catches it. The `reader` refuses the file, a `rejection` keeps the row out with a reason, and the
            `exception_queue` takes a transaction for which there is no rule.
        reason: the stable code of the rejection, the column that the reader names, or empty.
        changes: new values of columns, as expressions over the columns of a row.
        as_text: columns that become text, because no typed column could hold the defect.
        drops: columns that are left out of the file.
        damage: what happens to the bytes of the finished file.
    """

    description: str
    control: Control
    reason: str
    changes: Mapping[str, pl.Expr] = field(default_factory=dict)
    as_text: tuple[str, ...] = ()
    drops: tuple[str, ...] = ()
    damage: Callable[[Path], None] | None = None


PREVIOUS_TXN_ID: Final = "previous_txn_id"
"""A column that `Defect.changes` may use besides the twelve of a transaction: the id of the row before."""


def _cut_short(path: Path) -> None:
    """Lose the end of the file in the middle of its last row, as an interrupted copy does."""
    content = path.read_bytes()
    last_row = content.rstrip(b"\n").rfind(b"\n") + 1
    last_row = last_row if path.suffix == ".csv" else len(content) // 2
    path.write_bytes(content[: last_row + 5])


def _break_encoding(path: Path) -> None:
    """Put a Latin-1 letter into the middle of a CSV file."""
    _csv_only(path, "bad_encoding")
    content = bytearray(path.read_bytes())
    content[content.index(b"POL-", len(content) // 2)] = 0xE9
    path.write_bytes(content)


def _lose_a_field(path: Path) -> None:
    """Take the last field off the row in the middle of a CSV file."""
    _csv_only(path, "ragged_row")
    content = path.read_bytes()
    end = content.index(b"\n", len(content) // 2)
    path.write_bytes(content[: content.rindex(b",", 0, end)] + content[end:])


def _csv_only(path: Path, name: str) -> None:
    if path.suffix != ".csv":
        raise LedgerError(str(path), f"only a CSV file can have the defect {name}", "give the file the ending .csv")


def _plus_a_thousandth(column: str) -> pl.Expr:
    """One more decimal on an amount that is text with two decimals already."""
    return pl.col(column) + pl.lit("1")


_OTHER_MONTH: Final = pl.col("bank_value_date").dt.offset_by("1mo")
_NOTHING: Final = pl.lit(None)

DEFECTS: Final[Mapping[str, Defect]] = {
    "missing_component": Defect(
        "the tanahud component is empty", "rejection", "MISSING_AMOUNT", {"tanahud_amount": _NOTHING}
    ),
    "duplicate_id": Defect(
        "another transaction bears the id of the row before",
        "rejection",
        "DUPLICATE_TXN_ID",
        {"txn_id": pl.col(PREVIOUS_TXN_ID)},
    ),
    "unknown_product": Defect(
        "a product that no rule covers", "exception_queue", "", {"product_code": pl.lit("UNKNOWN-999")}
    ),
    "wrong_month": Defect(
        "a value date in the next month", "rejection", "WRONG_MONTH", {"bank_value_date": _OTHER_MONTH}
    ),
    "negative_amount": Defect(
        "all amounts negative", "rejection", "NEGATIVE_AMOUNT", {name: -pl.col(name) for name in AMOUNTS}
    ),
    "unbalanced_split": Defect(
        "components that add up to one minor unit more than the whole",
        "rejection",
        "COMPONENTS_DO_NOT_ADD_UP",
        {"ujroh_amount": pl.col("ujroh_amount") + pl.lit("0.01").cast(pl.Decimal(18, 2))},
    ),
    "zero_amount": Defect(
        "all amounts zero", "rejection", "ZERO_AMOUNT", {name: pl.lit("0").cast(pl.Decimal(18, 2)) for name in AMOUNTS}
    ),
    "unknown_type": Defect(
        "a type of transaction that no rule covers", "exception_queue", "", {"txn_type": pl.lit("REFUND")}
    ),
    "missing_id": Defect("no transaction id", "rejection", "MISSING_TXN_ID", {"txn_id": _NOTHING}),
    "missing_policy": Defect("no policy", "rejection", "MISSING_POLICY", {"policy_id": _NOTHING}),
    "missing_date": Defect("no value date", "rejection", "MISSING_DATE", {"bank_value_date": _NOTHING}),
    "wrong_currency": Defect("another currency", "rejection", "WRONG_CURRENCY", {"currency": pl.lit("XTS")}),
    "too_many_decimals": Defect(
        "amounts with a thousandth",
        "rejection",
        "TOO_MANY_DECIMALS",
        {name: _plus_a_thousandth(name) for name in ("gross_amount", "ujroh_amount")},
        as_text=AMOUNTS,
    ),
    "bad_number": Defect(
        "a number that is none", "reader", "ujroh_amount", {"ujroh_amount": pl.lit("12,5x")}, as_text=AMOUNTS
    ),
    "bad_date": Defect(
        "a day that does not exist", "reader", "txn_date", {"txn_date": pl.lit("2025-02-30")}, as_text=("txn_date",)
    ),
    "missing_column": Defect("a column is left out", "reader", "channel", drops=("channel",)),
    "bad_encoding": Defect("a byte that is not UTF-8 (CSV)", "reader", "", damage=_break_encoding),
    "ragged_row": Defect("a row with a field too few (CSV)", "reader", "", damage=_lose_a_field),
    "truncated": Defect("the end of the file is missing", "reader", "", damage=_cut_short),
}
"""Every defect by its name, as `ledger-assets generate --defect` takes it."""
