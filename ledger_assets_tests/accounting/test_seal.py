"""The tree against RFC 9162 and the published vectors of Certificate Transparency; the canonical form byte by byte."""

from datetime import date
from hashlib import sha256

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_assets.accounting.posting import HEADERS, LINES
from ledger_assets.accounting.seal import (
    ENTRIES_PER_BLOCK,
    Blocks,
    Dictionary,
    SealError,
    inclusion_path,
    leaf_hash,
    root_from_path,
    seal_blocks,
    tree_root,
)

# Certificate Transparency's reference inputs and the roots of their first 1 to 8 (certificate-transparency,
# merkletree/merkle_tree_test.cc; the same in the test suites of Trillian and of the Go library).
INPUTS = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def test_the_tree_is_that_of_certificate_transparency() -> None:
    leaves = [leaf_hash(data) for data in INPUTS]
    assert [tree_root(leaves[:size]).hex() for size in range(1, 9)] == ROOTS
    assert tree_root([]) == sha256(b"").digest()


@given(size=st.integers(1, 70), data=st.data())
def test_every_leaf_is_proven_by_its_path_and_by_no_other(size: int, data: st.DataObject) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(size)]
    index = data.draw(st.integers(0, size - 1))
    path = inclusion_path(index, leaves)
    root = tree_root(leaves)
    assert root_from_path(leaves[index], index, size, path) == root
    assert root_from_path(leaf_hash(b"forged"), index, size, path) != root
    assert root_from_path(leaves[index], index, size, [*path, root]) is None
    if path:
        assert root_from_path(leaves[index], index, size, path[:-1]) is None
        broken = data.draw(st.integers(0, len(path) - 1))
        assert root_from_path(leaves[index], index, size, [*path[:broken], bytes(32), *path[broken + 1 :]]) != root
    other = data.draw(st.integers(0, size - 1))
    if other != index:
        assert root_from_path(leaves[index], other, size, path) != root
    assert root_from_path(leaves[index], size, size, path) is None


def entries(count: int, first: int = 1) -> tuple[pl.DataFrame, pl.DataFrame]:
    numbers = range(first, first + count)
    headers = pl.DataFrame(
        {
            "total_amount": [100 * n for n in numbers],
            "je_number": list(numbers),
            "je_date": [date(2024, 1, 31)] * count,
            "template_id": [7] * count,
            "source_entry": [1] * count,
            "period": ["2024-01"] * count,
            "source_id": [f"T{n}é" for n in numbers],
            "original_date": [None] * count,
        },
        schema=HEADERS,
    )
    lines = pl.DataFrame(
        {
            "amount": [sign * 100 * n for n in numbers for sign in (1, -1)],
            "je_number": [n for n in numbers for _ in range(2)],
            "line_number": [1, 2] * count,
            "account_id": [3, 11] * count,
            "period": ["2024-01"] * 2 * count,
        },
        schema=LINES,
    )
    return headers, lines


DICTIONARY = Dictionary.of(
    [
        ("account", 11, '["account", "1000", "OPERATOR", "ASSET"]'),
        ("account", 3, '["account", "2000", "OPERATOR", "INCOME"]'),
        ("template", 7, '["template", "combined", 1, "PREMIUM", 1, "PREMIUM", "Contribution"]'),
    ]
)


def test_the_bytes_of_a_block_are_those_of_the_manual() -> None:
    headers, lines = entries(1, first=5)
    headers = headers.with_columns(original_date=pl.Series([date(2023, 12, 1)]))
    (block,) = [Blocks(headers, lines, first=5, entries=1, dictionary=DICTIONARY)]
    little = lambda width, *values: b"".join(v.to_bytes(width, "little", signed=True) for v in values)  # noqa: E731
    assert b"".join(block.pieces(0)) == (
        b"ledger-assets block 1\n"
        + little(4, 5, 1, 2)
        + little(4, 5, (date(2024, 1, 31) - date(1970, 1, 1)).days, (date(2023, 12, 1) - date(1970, 1, 1)).days)
        + little(2, 0, 1)
        + little(8, 500)
        + little(4, 4)
        + "T5é".encode()
        + little(4, 5, 5)
        + little(2, 1, 2)
        + little(2, 1, 0)
        + little(8, 500, -500)
    )


def test_entries_are_cut_into_blocks_of_256() -> None:
    headers, lines = entries(2 * ENTRIES_PER_BLOCK + 1)
    whole = seal_blocks(headers, lines, DICTIONARY)
    assert len(whole) == 3
    for start in (0, 1, 2):
        cut = headers.slice(start * 256, 256), lines.slice(start * 512, 512)
        assert seal_blocks(*cut, DICTIONARY) == whole[start : start + 1]
    assert seal_blocks(*entries(0), DICTIONARY) == []


def _another(column: str, frame: pl.DataFrame) -> pl.DataFrame:
    kind = frame.schema[column]
    value = "X" if kind == pl.String else date(2024, 1, 30) if kind == pl.Date else 11
    changed = frame[column].to_list()
    changed[1] = value
    return frame.with_columns(pl.Series(column, changed, dtype=kind))


@pytest.mark.parametrize("column", [name for name in HEADERS if name not in ("period", "je_number")])
def test_every_column_of_a_header_counts(column: str) -> None:
    headers, lines = entries(3)
    before = Blocks(headers, lines, first=1, entries=3, dictionary=DICTIONARY).hashes()
    assert Blocks(_another(column, headers), lines, first=1, entries=3, dictionary=DICTIONARY).hashes() != before


@pytest.mark.parametrize("column", ["amount", "line_number", "account_id"])
def test_every_column_of_a_line_counts(column: str) -> None:
    headers, lines = entries(3)
    unchanged = lines.with_columns(account_id=pl.lit(3, pl.Int16)) if column == "account_id" else lines
    before = Blocks(headers, unchanged, first=1, entries=3, dictionary=DICTIONARY).hashes()
    changed = _another(column, unchanged)
    assert Blocks(headers, changed, first=1, entries=3, dictionary=DICTIONARY).hashes() != before


def test_a_row_without_meaning_is_not_sealed() -> None:
    headers, lines = entries(3)
    with pytest.raises(SealError, match="dictionary"):
        seal_blocks(headers, lines.with_columns(account_id=pl.lit(4, pl.Int16)), DICTIONARY)
    with pytest.raises(SealError, match="dictionary"):
        seal_blocks(headers.with_columns(template_id=pl.lit(-7, pl.Int16)), lines, DICTIONARY)
    with pytest.raises(SealError, match="order"):
        seal_blocks(headers, lines.reverse(), DICTIONARY)
