"""Counting and adding up by other means than the product's: Python's own csv, decimals and loops."""

import csv
from collections.abc import Iterable
from decimal import Context, Decimal, Inexact, InvalidOperation
from pathlib import Path
from typing import Final

import polars as pl

from ledger_assets.accounting.schemas import REASONS, SOURCE_COLUMNS, Judgement, judge
from ledger_assets.accounting.source_mapping import Mapped

EXACT: Final = Context(prec=400, traps=[Inexact, InvalidOperation])
AMOUNTS: Final = SOURCE_COLUMNS[-4:]


def rows_in_csv(path: Path, delimiter: str = ",") -> int:
    """The rows of a CSV file without its header, blank lines aside."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return sum(1 for record in csv.reader(file, delimiter=delimiter, strict=True) if record) - 1


def total(amounts: Iterable[Decimal | None]) -> Decimal:
    """An exact sum; what is missing adds nothing."""
    result = Decimal(0)
    for amount in amounts:
        result = EXACT.add(result, amount or Decimal(0))
    return result


def judged(mapped: Mapped, *, period: str = "2025-01", currency: str = "IDR") -> Judgement:
    """The verdict on rows, after checking that it is on all of them, once, and that no amount became another."""
    frame = mapped.frame
    judgement = judge(frame, period=period, currency=currency, raw=mapped.raw)
    accepted, rejected = judgement
    numbers = sorted([*accepted["row_number"], *rejected["row_number"]])
    assert numbers == frame["row_number"].to_list(), "a row is lost, or there twice"
    assert all(reasons and set(reasons) <= set(REASONS) for reasons in rejected["reasons"].to_list())
    refused = frame.filter(pl.col("row_number").is_in(rejected["row_number"].implode()))
    for name in AMOUNTS:
        assert total(frame[name]) == EXACT.add(total(accepted[name]), total(refused[name])), "money changed"
    for row in accepted.iter_rows(named=True):
        gross, *parts = (row[name] for name in AMOUNTS)
        assert gross > 0
        assert min(parts) >= 0
        assert total(parts) == gross
    return judgement
