"""Which rows of a block differ from what was sealed, in words (E2).

Two ways. Where the sealed rows could be made again, and their hash proves that they are the sealed ones, each row is
compared column by column. Where not, the hash only says that something differs, and the entries are named that are
visibly broken. Pure: frames in, rows of text out.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import polars as pl

from ledger_assets.accounting.money import from_minor

HEADER_ROWS: Final = pl.Schema(
    {
        "je_number": pl.Int32,
        "je_date": pl.Int32,
        "original_date": pl.Int32,
        "template_id": pl.Int16,
        "source_entry": pl.Int16,
        "total_amount": pl.Int64,
        "source_id": pl.String,
    }
)
"""Headers as a verification reads them: dates are days since 1970-01-01."""

LINE_ROWS: Final = pl.Schema(
    {"je_number": pl.Int32, "line_number": pl.Int16, "account_id": pl.Int16, "amount": pl.Int64}
)
_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True)
class Rows:
    """Headers (`HEADER_ROWS`) by number and lines (`LINE_ROWS`) by number and line number."""

    headers: pl.DataFrame
    lines: pl.DataFrame

    @classmethod
    def of(cls, headers: pl.DataFrame, lines: pl.DataFrame) -> "Rows":
        """From `posting.HEADERS` and `posting.LINES`."""
        days = [pl.col(name).to_physical() for name in ("je_date", "original_date")]
        return cls(headers.with_columns(days).select(HEADER_ROWS.names()), lines.select(LINE_ROWS.names()))

    def between(self, first: int, last: int) -> "Rows":
        """Those of the entries with these numbers."""
        here = pl.col("je_number").is_between(first, last)
        return Rows(self.headers.filter(here), self.lines.filter(here))


@dataclass(frozen=True)
class Names:
    """How people call what rows store: account id to code, template id to name."""

    accounts: Mapping[int, str]
    templates: Mapping[int, str]

    def text(self, column: str, value: Any) -> str:
        """A stored value as people write it."""
        match column:
            case _ if value is None:
                text = "none"
            case "je_date" | "original_date":
                text = _day(value)
            case "amount" | "total_amount":
                text = f"{from_minor(value):,}"
            case "account_id":
                text = self.accounts.get(value, f"unknown account {value}")
            case "template_id":
                text = self.templates.get(value, f"unknown template {value}")
            case _:
                text = str(value)
        return text


def _day(days: int) -> str:
    try:
        return str(_EPOCH + timedelta(days=days))
    except OverflowError:
        return f"day {days}"


def differing(sealed: Rows, present: Rows, names: Names) -> list[dict[str, str]]:
    """Every row that differs: entry, line (empty for the header), column, sealed and present value."""
    rows = [
        *_compared(_keyed(sealed.headers, ("je_number",)), _keyed(present.headers, ("je_number",)), names),
        *_compared(
            _keyed(sealed.lines, ("je_number", "line_number")),
            _keyed(present.lines, ("je_number", "line_number")),
            names,
        ),
    ]
    return sorted(rows, key=lambda row: (int(row["entry"]), int(row["line"] or 0)))


_Keyed = Mapping[tuple[int, ...], dict[str, Any]]


def _keyed(frame: pl.DataFrame, key: tuple[str, ...]) -> _Keyed:
    """Rows by key; the second row of a key that occurs twice has a 2 behind it."""
    seen: dict[tuple[int, ...], int] = defaultdict(int)
    keyed = {}
    for row in frame.iter_rows(named=True):
        values = tuple(row[name] for name in key)
        seen[values] += 1
        keyed[values if seen[values] == 1 else (*values, seen[values])] = {
            name: value for name, value in row.items() if name not in key
        }
    return keyed


def _compared(sealed: _Keyed, present: _Keyed, names: Names) -> Iterator[dict[str, str]]:
    for key in sorted(sealed.keys() | present.keys()):
        was, now = sealed.get(key), present.get(key)
        where = {"entry": str(key[0]), "line": str(key[1]) if "amount" in (was or now or {}) else ""}
        if was is None or now is None:
            shown = [_whole(row, names) if row else "no such row" for row in (was, now)]
            yield where | {"column": "row", "sealed": shown[0], "present": shown[1]}
            continue
        for column, value in was.items():
            if value != now[column]:
                pair = {"sealed": names.text(column, value), "present": names.text(column, now[column])}
                yield where | {"column": column.removesuffix("_id") if column != "source_id" else column} | pair


def _whole(row: Mapping[str, Any], names: Names) -> str:
    return ", ".join(names.text(column, value) for column, value in row.items() if value is not None)


def visibly_broken(present: Rows, first: int, last: int) -> list[dict[str, str]]:
    """The entries from first to last that cannot have been sealed as they are: no header, no balance, wrong total."""
    sums = present.lines.group_by("je_number").agg(
        net=pl.col("amount").sum(),
        debit=pl.col("amount").filter(pl.col("amount") > 0).sum(),
        repeated=pl.col("line_number").is_duplicated().any(),
    )
    entries = (
        pl.DataFrame({"je_number": range(first, last + 1)}, schema={"je_number": pl.Int32})
        .join(present.headers.group_by("je_number").agg(pl.len(), pl.col("total_amount").first()), "je_number", "left")
        .join(sums, "je_number", "left")
    )
    problem = (
        pl.when(pl.col("len").is_null())
        .then(pl.lit("it has no header"))
        .when(pl.col("len") > 1)
        .then(pl.lit("it has more than one header"))
        .when(pl.col("net").is_null())
        .then(pl.lit("it has no lines"))
        .when(pl.col("net") != 0)
        .then(pl.lit("its debits do not equal its credits"))
        .when(pl.col("debit") != pl.col("total_amount"))
        .then(pl.lit("its header's total is not the sum of its debits"))
        .when("repeated")
        .then(pl.lit("a line number occurs twice"))
    )
    broken = entries.select("je_number", problem=problem).drop_nulls().sort("je_number")
    return [{"entry": str(number), "problem": text} for number, text in broken.iter_rows()]
