"""The seal: what is hashed, byte by byte, the tree and the chain over it (E2). docs/seal.md is the same for readers.

Here: the canonical form of entries (version 1), the Merkle tree of RFC 9162, and the texts whose hashes are a batch's
root and a link of the chain. Pure: frames and strings in, hashes out. Not here: where seals are kept, and what is
compared with what (verification).

Nothing in a seal depends on how the rows came to be where they are: no database id, no clock, no user, no run. Two
databases that hold the same books bear the same seals.
"""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Final

import polars as pl

from ledger_assets.accounting.errors import LedgerError

SEAL_VERSION: Final = 1
ENTRIES_PER_BLOCK: Final = 256
"""Belongs to version 1: another size is another version."""

BLOCK_TAG: Final = b"ledger-assets block 1\n"
COUNTS: Final = struct.Struct("<iii")
NO_DATE: Final = -(2**31)
NO_HASH: Final = bytes(32)

_IDS: Final = 2**16

HEADER_COLUMNS: Final = {
    "je_number": pl.Int32,
    "je_date": pl.Int32,
    "original_date": pl.Int32,
    "template": pl.Int16,
    "source_entry": pl.Int16,
    "total_amount": pl.Int64,
    "source_id_length": pl.Int32,
}
"""The fixed-width columns of a block's headers, in their order; the bytes of the source ids follow."""

LINE_COLUMNS: Final = {"je_number": pl.Int32, "line_number": pl.Int16, "account": pl.Int16, "amount": pl.Int64}


class SealError(LedgerError):
    """Rows that cannot be sealed."""


# ------------------------------------------------------------------------------------------------ dictionary


@dataclass(frozen=True)
class Dictionary:
    """What sealed rows mean by account 3 or template 0: the lines of a text, counted from 0 within their kind.

    Attributes:
        text: one JSON array a line, accounts before templates (see docs/seal.md).
        accounts, templates: the id that rows store -> position.
    """

    text: str
    accounts: Mapping[int, int]
    templates: Mapping[int, int]

    @classmethod
    def of(cls, entries: Sequence[tuple[str, int, str]]) -> "Dictionary":
        """From (`account` or `template`, id, JSON array), in the order of the text."""
        ids: dict[str, list[int]] = {"account": [], "template": []}
        for what, identifier, _ in entries:
            ids[what].append(identifier)
        positions = {what: {number: place for place, number in enumerate(numbers)} for what, numbers in ids.items()}
        return cls("\n".join(entry for _, _, entry in entries), positions["account"], positions["template"])

    @property
    def hash(self) -> bytes:
        return sha256(self.text.encode()).digest()

    @cached_property
    def account_table(self) -> pl.Series:
        return _table(self.accounts)

    @cached_property
    def template_table(self) -> pl.Series:
        return _table(self.templates)


def entries_of(text: str) -> tuple[list[list[str | int]], list[list[str | int]]]:
    """The accounts and the templates of a dictionary's text, without the word that each begins with."""
    entries = [json.loads(line) for line in text.split("\n") if line]
    return [e[1:] for e in entries if e[0] == "account"], [e[1:] for e in entries if e[0] == "template"]


def _table(positions: Mapping[int, int]) -> pl.Series:
    """Position for each smallint there is, -1 for ids without one: one gather maps millions of rows."""
    table = [-1] * _IDS
    for identifier, position in positions.items():
        table[identifier % _IDS] = position
    return pl.Series(table, dtype=pl.Int16)


def _positions(ids: pl.Series, table: pl.Series) -> pl.Series:
    return table.gather(ids.cast(pl.Int32) & (_IDS - 1))


# ------------------------------------------------------------------------------------------------ blocks


class Blocks:
    """The blocks of a worker's entries, in canonical form.

    Args:
        headers: `posting.HEADERS` by je_number (period is not looked at: it is the batch's).
        lines: `posting.LINES` by (je_number, line_number).
        first: the number of the worker's first entry.
        entries: how many numbers the worker has; rows beyond them are in no block.
        dictionary: maps the ids of the rows.
    """

    def __init__(
        self, headers: pl.DataFrame, lines: pl.DataFrame, *, first: int, entries: int, dictionary: Dictionary
    ) -> None:
        if not headers["je_number"].is_sorted() or not lines["je_number"].is_sorted():
            raise SealError(f"entries from {first} on", "their rows are not in the order of their numbers", "sort them")
        self.starts = [*range(first, first + entries, ENTRIES_PER_BLOCK), first + entries]
        before = pl.Series([start - 1 for start in self.starts], dtype=pl.Int32)
        self._header_cuts = headers["je_number"].search_sorted(before, side="right").to_list()
        self._line_cuts = lines["je_number"].search_sorted(before, side="right").to_list()
        source_id = headers["source_id"]
        columns = {
            "template": _positions(headers["template_id"], dictionary.template_table),
            "original_date": headers["original_date"].to_physical().fill_null(NO_DATE),
            "source_id_length": source_id.str.len_bytes().cast(pl.Int32).fill_null(-1),
        }
        self._headers = [
            _column(columns.get(n, headers.get_column(n, default=None)), t) for n, t in HEADER_COLUMNS.items()
        ]
        account = _positions(lines["account_id"], dictionary.account_table)
        self.are_known = not any((ids < 0).any() for ids in (account, columns["template"]))
        self._lines = [_column(account if n == "account" else lines[n], t) for n, t in LINE_COLUMNS.items()]
        self._ids, self._id_offsets = _texts(source_id)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def numbers(self, block: int) -> tuple[int, int]:
        """The first and last entry number that a block is for."""
        return self.starts[block], self.starts[block + 1] - 1

    def pieces(self, block: int) -> Iterator[bytes | memoryview]:
        """The bytes of a block, in pieces that are not copied."""
        first, last = self._header_cuts[block : block + 2]
        first_line, last_line = self._line_cuts[block : block + 2]
        yield BLOCK_TAG
        yield COUNTS.pack(self.starts[block], last - first, last_line - first_line)
        for view, width in self._headers:
            yield view[first * width : last * width]
        yield self._ids[self._id_offsets[first] : self._id_offsets[last]]
        for view, width in self._lines:
            yield view[first_line * width : last_line * width]

    def hashes(self) -> list[bytes]:
        """The leaf hash of each block."""
        return [self._hash(block) for block in range(len(self))]

    def _hash(self, block: int) -> bytes:
        digest = sha256(b"\x00")
        for piece in self.pieces(block):
            digest.update(piece)
        return digest.digest()


def seal_blocks(headers: pl.DataFrame, lines: pl.DataFrame, dictionary: Dictionary) -> list[bytes]:
    """The leaf hashes of the blocks of entries, which are numbered without gap.

    Raises SealError for an account or a template that is not in the dictionary, and for rows out of order.
    """
    first_je_number = 1 if headers.is_empty() else headers["je_number"][0]
    blocks = Blocks(headers, lines, first=first_je_number, entries=headers.height, dictionary=dictionary)
    if not blocks.are_known:
        raise SealError(
            f"entries from {first_je_number} on",
            "they name an account or a template that the dictionary of the batch does not have",
            "store it before the batch is opened, then stage again",
        )
    return blocks.hashes()


def _column(series: pl.Series, kind: type[pl.DataType]) -> tuple[memoryview, int]:
    """The little-endian bytes of a column without nulls, and the width of a value."""
    array = series.to_physical().cast(kind).rechunk().to_arrow()
    width = array.type.bit_width // 8
    data = array.buffers()[1]
    view = memoryview(data if data is not None else b"")
    return view[array.offset * width : (array.offset + len(array)) * width], width


def _texts(series: pl.Series) -> tuple[memoryview, Sequence[int]]:
    """The UTF-8 bytes of a text column, and where each value begins and the last one ends."""
    if series.is_empty():
        return memoryview(b""), [0]
    array = series.fill_null("").rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    return memoryview(data if data is not None else b""), memoryview(offsets).cast("q")[array.offset :]


# ------------------------------------------------------------------------------------------------ tree


def leaf_hash(data: bytes) -> bytes:
    """RFC 9162, 2.1.1: the hash of a leaf."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 9162, 2.1.1: the hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def tree_root(leaf_hashes: Sequence[bytes]) -> bytes:
    """The root of the tree over leaves that are given as their hashes; of no leaf, the hash of nothing."""
    if not leaf_hashes:
        return sha256(b"").digest()
    if len(leaf_hashes) == 1:
        return leaf_hashes[0]
    split = _split(len(leaf_hashes))
    return node_hash(tree_root(leaf_hashes[:split]), tree_root(leaf_hashes[split:]))


def inclusion_path(index: int, leaf_hashes: Sequence[bytes]) -> list[bytes]:
    """RFC 9162, 2.1.3.1: the siblings on the way from a leaf to the root, the nearest first."""
    if len(leaf_hashes) == 1:
        return []
    split = _split(len(leaf_hashes))
    if index < split:
        return [*inclusion_path(index, leaf_hashes[:split]), tree_root(leaf_hashes[split:])]
    return [*inclusion_path(index - split, leaf_hashes[split:]), tree_root(leaf_hashes[:split])]


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """RFC 9162, 2.1.3.2: the root that a leaf's hash and its siblings lead to; None when they cannot be a path."""
    if not 0 <= index < size:
        return None
    place, last, node = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if place % 2 or place == last:
            node = node_hash(sibling, node)
            while place % 2 == 0 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    return node if last == 0 else None


def _split(size: int) -> int:
    """The largest power of two smaller than the size."""
    return int(1 << (size - 1).bit_length() - 1)


# ------------------------------------------------------------------------------------------------ root and chain


def rows_root(worker_roots: Sequence[bytes]) -> bytes:
    """The root over the roots of a batch's workers, in the order of their numbers."""
    return tree_root([leaf_hash(root) for root in worker_roots])


def header_text(facts: Mapping[str, str]) -> str:
    """What a batch is, one fact a line, in the order of docs/seal.md."""
    return f"ledger-assets seal {SEAL_VERSION}\n" + "".join(f"{name} {value}\n" for name, value in facts.items())


def header_facts(text: str) -> dict[str, str]:
    """The facts of such a text; what is no fact is left out."""
    lines = [line.split(" ", 1) for line in text.split("\n")[1:]]
    return {line[0]: line[1] for line in lines if len(line) == 2}


def batch_root(header: str) -> bytes:
    """The root of a batch: the hash of the text that says what it is and names the root of its rows."""
    return sha256(header.encode()).digest()


def chain_hash(position: int, event: str, batch_id: str, root: bytes, previous: bytes) -> bytes:
    """The hash of a link of the chain."""
    text = (
        f"ledger-assets chain 1\nposition {position}\nevent {event}\nbatch {batch_id}\n"
        f"root {root.hex()}\nprevious {previous.hex()}\n"
    )
    return sha256(text.encode()).digest()
