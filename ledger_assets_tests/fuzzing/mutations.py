"""Valid input made wrong: bytes, cells, rows, headers, encodings. What is nearly right reaches furthest."""

import csv
import io
from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st

from ledger_assets.accounting.generation import generate
from ledger_assets.accounting.schemas import SOURCE_COLUMNS

ODD_TEXTS: Final = (
    "", " ", "\0", '"', '""', "'", ",", "\n", "\r", "\r\n", "\t", "\x1b[31m", "\ufeff", "\u200b", "\u202e", "\u2028",
    "١٢٣", "１００.00", "𝟙", "é", "e\u0301", "NaN", "inf", "-0", "-0.00", "+1", "1e5", "1_000", "0x1F", ".5", "5.",
    "100.000", "0.005", "9" * 16, "9" * 16 + ".99", "9" * 17, "9" * 18 + "." + "9" * 18, "9" * 19, "1" * 500, "x" * 201,
    "€" * 67, "x" * 3_000, "2025-01-31", "2025-02-29", "2024-02-29", "0000-00-00", "0000-01-01", "-4713-01-01",
    "+262142-12-31", "9999-12-31", "10000-01-01", "2025-1-3", "20250103", "2025-01-03T00:00:00", "=1+1", "@SUM(A1)",
    "null", "true", "$$;", "'; DROP TABLE source.load; --", "%(period)s", "{leaf}", "\\", "\\N", "\\.", "T-1",
)  # fmt: skip
"""Cells that some reader, somewhere, takes for something else."""

_BASE: Final = tuple(tuple(map(str, row)) for row in next(generate("2025-01", 8, 1)).rows())

cells: Final = st.one_of(
    st.sampled_from(ODD_TEXTS), st.text(st.characters(exclude_categories=["Cs"]), max_size=12), st.just("40.00")
)


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    """Header and rows, some of them not as they should be."""
    rows = [list(row) for row in draw(st.lists(st.sampled_from(_BASE), min_size=0, max_size=8))]
    if draw(st.booleans()):  # ids of their own: otherwise nearly every row is a duplicate
        for number, row in enumerate(rows):
            row[0] = f"T-{number}"
    for _ in range(draw(st.integers(0, 4)) if rows else 0):
        draw(st.sampled_from(rows))[draw(st.integers(0, 11))] = draw(cells)
    table = [list(SOURCE_COLUMNS), *rows]
    for change in draw(st.lists(st.sampled_from(_CHANGES), max_size=1)):
        change(draw, table)
    return table


def _ragged(draw: st.DrawFn, table: list[list[str]]) -> None:
    row = draw(st.sampled_from(table))
    row.extend(draw(st.lists(cells, min_size=1, max_size=2))) if draw(st.booleans()) else row.pop()


def _renamed(draw: st.DrawFn, table: list[list[str]]) -> None:
    table[0][draw(st.integers(0, 11))] = draw(st.sampled_from([*SOURCE_COLUMNS, "", " ", "\0", "TXN_ID", "txn_id "]))


def _one_more_column(draw: st.DrawFn, table: list[list[str]]) -> None:
    name = draw(st.one_of(st.sampled_from(["", "literal", "row_number", "raw", '"', "a\nb", *SOURCE_COLUMNS]), cells))
    for number, row in enumerate(table):
        row.append(draw(cells) if number else name)


def _turned(draw: st.DrawFn, table: list[list[str]]) -> None:
    order = draw(st.permutations(range(12)))
    table[:] = [[row[index] for index in order] for row in table]


def _blank_line(draw: st.DrawFn, table: list[list[str]]) -> None:
    table.insert(draw(st.integers(0, len(table))), [])


_CHANGES: Final = (_ragged, _renamed, _one_more_column, _turned, _blank_line)


@st.composite
def csv_files(draw: st.DrawFn) -> bytes:
    """A table as CSV, in one of the ways in which it is written, and sometimes damaged afterwards."""
    text = as_csv(draw(tables()), draw(st.sampled_from(["\n", "\r\n", "\r"])), draw(st.sampled_from([0, 1, 3])))
    encoding = draw(st.sampled_from(["utf-8"] * 8 + ["utf-8-sig", "utf-16", "latin-1", "cp037"]))
    content = text.encode(encoding, "replace")
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        content = damaged(draw, content)
    return content


def as_csv(table: Sequence[Sequence[str]], newline: str = "\n", quoting: int = csv.QUOTE_MINIMAL) -> str:
    """A table as CSV; with QUOTE_NONE without any quotation mark, whatever its cells hold."""
    if quoting == csv.QUOTE_NONE:
        return "".join(",".join(row) + newline for row in table)
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator=newline, quoting=quoting).writerows(table)  # type: ignore[arg-type]
    return file.getvalue()


PIECES: Final = (
    b'"', b"\n", b"\r", b"\r\n", b",", b";", b"\0", b"\xff", b"\xc3", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\x1f\x8b",
    b"'", b"(", b")", b"[", b"]", b"{", b"}", b"=", b"\\", b"%", b"--", b":", b"-", b"9" * 40, b"e9", b"\x1a",
)  # fmt: skip


def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Something inserted, taken out, doubled, overwritten, or cut off."""
    at = draw(st.integers(0, len(content)))
    piece = draw(st.one_of(st.sampled_from(PIECES), st.binary(min_size=1, max_size=3)))
    length = draw(st.integers(1, 40))
    kind = draw(st.sampled_from(["insert", "delete", "double", "overwrite", "cut"]))
    match kind:
        case "insert":
            return content[:at] + piece + content[at:]
        case "delete":
            return content[:at] + content[at + length :]
        case "double":
            return content[:at] + content[at : at + length] * 2 + content[at + length :]
        case "overwrite":
            return content[:at] + piece + content[at + len(piece) :]
        case _:
            return content[:at]


@st.composite
def damage_to(draw: st.DrawFn, good: Sequence[bytes]) -> bytes:
    """One of the good inputs, damaged once or a few times; sometimes a piece of another one in it."""
    content = draw(st.sampled_from(good))
    for _ in range(draw(st.integers(0, 4))):
        content = damaged(draw, content)
    if draw(st.booleans()):
        other, at = draw(st.sampled_from(good)), draw(st.integers(0, len(content)))
        content = content[:at] + other[draw(st.integers(0, len(other))) :] + content[at:]
    return content
