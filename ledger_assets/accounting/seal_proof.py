"""The proof that one entry is part of a posted batch, as a document that can be checked without the database (E2).

The document holds the entry's block in canonical form, the siblings on the way to the roots, the header of the batch,
the dictionary, and the link of the chain. Pure.

It proves the entry to whoever knows the hash of that link from elsewhere, such as from the certificate of the close.
It shows the other entries of the block too.
"""

import struct
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from hashlib import sha256
from typing import Any, Final

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.money import from_minor
from ledger_assets.accounting.seal import (
    BLOCK_TAG,
    COUNTS,
    HEADER_COLUMNS,
    LINE_COLUMNS,
    NO_DATE,
    batch_root,
    chain_hash,
    entries_of,
    header_facts,
    inclusion_path,
    leaf_hash,
    root_from_path,
)
from ledger_assets.accounting.verification import Link

FORMAT: Final = "ledger-assets proof 1"
_EPOCH: Final = date(1970, 1, 1)
_CODES: Final = {"Int16": "h", "Int32": "i", "Int64": "q"}


class ProofError(LedgerError):
    """A document that is no proof."""


def make_proof(
    je_number: int,
    block: bytes,
    place: tuple[int, Sequence[bytes]],
    worker: tuple[int, Sequence[bytes]],
    header: str,
    dictionary: str,
    link: Link,
) -> dict[str, Any]:
    """The document for an entry.

    Args:
        je_number: the entry's number.
        block: its block in canonical form.
        place: the index of the block among its worker's, and the leaf hashes of these.
        worker: the index of the worker among the batch's, and the roots of these.
        header, dictionary: those of the batch's seal.
        link: the link of the chain that posted the batch.
    """
    roots = [leaf_hash(root) for root in worker[1]]
    return {
        "format": FORMAT,
        "je_number": je_number,
        "entry": read_entry(block, dictionary, je_number),
        "block": b64encode(block).decode(),
        "block_index": place[0],
        "block_count": len(place[1]),
        "block_path": [sibling.hex() for sibling in inclusion_path(place[0], place[1])],
        "worker_index": worker[0],
        "worker_count": len(roots),
        "worker_path": [sibling.hex() for sibling in inclusion_path(worker[0], roots)],
        "header": header,
        "dictionary": dictionary,
        "chain": {
            "position": link.position,
            "event": link.event,
            "batch_id": link.batch_id,
            "root": link.root.hex(),
            "previous_hash": link.previous_hash.hex(),
            "hash": link.hash.hex(),
        },
    }


def check_proof(proof: Mapping[str, Any]) -> list[str]:
    """What is wrong with a document; nothing = its entry is in the batch that the link of the chain names.

    Raises ProofError for a document that is not made like a proof.
    """
    try:
        return _check(proof)
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError, struct.error) as fault:
        problem = f"it cannot be read ({type(fault).__name__}: {fault})"
        raise ProofError("proof", problem, "use what `ledger-assets verify --entry … --json` printed") from fault


def _check(proof: Mapping[str, Any]) -> list[str]:
    if proof["format"] != FORMAT:
        raise ProofError("proof", f"its format is {proof['format']!r}, not {FORMAT!r}", "check it with its own version")
    block, header, link = b64decode(proof["block"], validate=True), proof["header"], proof["chain"]
    facts = header_facts(header)
    problems = []
    if read_entry(block, proof["dictionary"], proof["je_number"]) != proof["entry"]:
        problems.append("the entry is not the one in the block")
    worker_root = _root(leaf_hash(block), proof, "block")
    rows = worker_root and _root(leaf_hash(worker_root), proof, "worker")
    if rows is None or rows.hex() != facts.get("rows"):
        problems.append("the block and its siblings do not lead to the root of the batch's rows")
    if sha256(proof["dictionary"].encode()).hexdigest() != facts.get("dictionary"):
        problems.append("the dictionary is not the one that was sealed")
    if batch_root(header).hex() != link["root"] or facts.get("batch") != link["batch_id"]:
        problems.append("the header is not that of the batch in the chain")
    named = chain_hash(
        link["position"],
        link["event"],
        link["batch_id"],
        bytes.fromhex(link["root"]),
        bytes.fromhex(link["previous_hash"]),
    )
    if named.hex() != link["hash"]:
        problems.append("the hash of the link is that of other contents")
    return problems


def _root(leaf: bytes, proof: Mapping[str, Any], what: str) -> bytes | None:
    path = [bytes.fromhex(sibling) for sibling in proof[f"{what}_path"]]
    return root_from_path(leaf, proof[f"{what}_index"], proof[f"{what}_count"], path)


# ------------------------------------------------------------------------------------------------ reading a block


def read_entry(block: bytes, dictionary: str, je_number: int) -> dict[str, Any]:
    """An entry of a block as people read it. Raises ProofError when the block does not have it."""
    headers, lines = decode_block(block)
    accounts, templates = entries_of(dictionary)
    header = next((one for one in headers if one["je_number"] == je_number), None)
    if header is None:
        raise ProofError(f"entry {je_number}", "the block does not have it", "look at the numbers of the block")
    rule_set, rule_version, code, version, source_type, description = templates[header["template"]]
    return {
        "je_number": je_number,
        "je_date": _day(header["je_date"]),
        "original_date": None if header["original_date"] == NO_DATE else _day(header["original_date"]),
        "source_type": source_type,
        "source_id": header["source_id"],
        "source_entry": header["source_entry"],
        "template": f"{code} v{version} of {rule_set} v{rule_version}",
        "description": description,
        "total_amount": str(from_minor(header["total_amount"])),
        "lines": [
            {
                "line_number": line["line_number"],
                "account_code": accounts[line["account"]][0],
                "fund": accounts[line["account"]][1],
                "debit": str(from_minor(max(line["amount"], 0))),
                "credit": str(from_minor(max(-line["amount"], 0))),
            }
            for line in lines
            if line["je_number"] == je_number
        ],
    }


def decode_block(block: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The headers and lines of a block in canonical form, each row a mapping of column to stored value.

    Raises ProofError for bytes that are no block.
    """
    if not block.startswith(BLOCK_TAG):
        raise ProofError("block", "it does not begin with the tag of version 1", "check it with its own version")
    at = len(BLOCK_TAG)
    _, entries, lines = COUNTS.unpack_from(block, at)
    at += COUNTS.size
    headers, at = _columns(block, at, entries, HEADER_COLUMNS)
    for header in headers:
        length = header.pop("source_id_length")
        header["source_id"] = None if length < 0 else block[at : at + length].decode()
        at += max(length, 0)
    rows, at = _columns(block, at, lines, LINE_COLUMNS)
    if at != len(block):
        raise ProofError("block", "its length is not that of its counts", "take it from a proof as it was printed")
    return headers, rows


def _columns(block: bytes, at: int, count: int, columns: Mapping[str, Any]) -> tuple[list[dict[str, Any]], int]:
    values = []
    for kind in columns.values():
        form = struct.Struct(f"<{count}{_CODES[kind.__name__]}")
        values.append(form.unpack_from(block, at))
        at += form.size
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)], at


def _day(days: int) -> str:
    return str(_EPOCH + timedelta(days=days))
