"""The certificate of a close (E7): what it says, its canonical form, its signature, and what can be wrong with it.

    document = {"certificate": {...}, "sha256": ..., "signature": ..., "public_key": ...}

`sha256` is that of the certificate in canonical form: JSON with sorted keys, without blanks, in UTF-8 (RFC 8785, which
for a document without fractions and with ASCII keys is just that). The signature is Ed25519 over those 32 bytes.
Amounts are text, so that no reader makes a binary fraction of them.

Here: everything that needs no database. A certificate can be checked long after the ledger is gone.
"""

import base64
import binascii
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.money import from_minor

FORMAT: Final = "ledger-assets close certificate, version 1"

VOLATILE: Final = frozenset({"issued_at", "chain_heads"})
"""What differs between two certificates of the same close: when it was made, and how long the chains were by then."""

_PARTS: Final = frozenset({"certificate", "sha256", "signature", "public_key"})
_AMOUNT: Final = re.compile(r"-?[0-9]+\.[0-9]{2}")
_NAMES: Final = ("account", "load_id", "batch_id", "fund", "type")
_LARGEST_EXACT: Final = 2**53 - 1
"""Beyond it, readers that know only binary fractions (RFC 8785 is written for them) change a number."""

Certificate = Mapping[str, Any]
Document = Mapping[str, Any]


class CertificateError(LedgerError):
    """The close cannot be certified, or what was certified does not hold any more."""


def canonical(value: Any) -> bytes:
    """The one form of a certificate that is hashed. Raises CertificateError for what has no exact form (a fraction)."""
    _require_exact(value, "certificate")
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def digest(certificate: Certificate) -> bytes:
    """SHA-256 of the canonical form: 32 bytes."""
    return hashlib.sha256(canonical(certificate)).digest()


def sign(certificate: Certificate, key: Ed25519PrivateKey) -> dict[str, Any]:
    """The document: the certificate with its hash, its signature and the public part of the key."""
    hashed = digest(certificate)
    return {
        "certificate": dict(certificate),
        "sha256": hashed.hex(),
        "signature": base64.b64encode(key.sign(hashed)).decode("ascii"),
        "public_key": base64.b64encode(key.public_key().public_bytes_raw()).decode("ascii"),
    }


def to_text(document: Document) -> str:
    """The document as it is published: the same content, for people to read."""
    return json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def from_text(text: str, name: str) -> dict[str, Any]:
    """The document out of its text; `name` is how an error calls it. Raises CertificateError for anything else."""
    fix = "take the certificate from where it was published, or from ledger.close_certificate"
    try:
        document = json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as fault:
        raise CertificateError(name, f"it cannot be read: {fault}", fix) from fault
    if not isinstance(document, dict) or document.keys() != _PARTS or not isinstance(document["certificate"], dict):
        raise CertificateError(name, f"a certificate has the parts {', '.join(sorted(_PARTS))} and no other", fix)
    return document


def fingerprint(public_key: bytes) -> str:
    """The name of a key: SHA-256 of its 32 bytes."""
    return hashlib.sha256(public_key).hexdigest()


def signer(document: Document) -> bytes:
    """The public key that the document names, 32 bytes; empty when it names none."""
    key = _decoded(document["public_key"])
    return key if len(key) == 32 else b""


def verify(document: Document, trusted: Collection[bytes]) -> list[str]:
    """What is wrong with the document by itself; empty = nothing.

    Args:
        document: as `from_text` gives it.
        trusted: the public keys (32 bytes each) that may sign. The key in the document proves only that whoever made
            the document could sign; who that was is known from where the trusted keys come from.
    """
    certificate = document["certificate"]
    try:
        hashed = digest(certificate)
    except (CertificateError, UnicodeEncodeError) as fault:
        return [str(fault)]
    problems = []
    if document["sha256"] != hashed.hex():
        problems.append(f"its content has the hash {hashed.hex()[:16]}…, it says {str(document['sha256'])[:16]}…")
    key = signer(document)
    if not _is_signed(hashed, document["signature"], key):
        problems.append("its signature is not that of its content")
    if key not in trusted:
        problems.append(f"it is signed with the key {fingerprint(key)[:16]}…, which is not one of the ledger's")
    return problems + list(_contradictions(certificate))


def differences(certified: Certificate, present: Certificate) -> list[str]:
    """In sentences, what differs between a certificate and another one of the same month; times and chain heads may."""
    found = []
    for part in sorted((certified.keys() | present.keys()) - VOLATILE):
        before, now = certified.get(part), present.get(part)
        if before == now:
            continue
        if isinstance(before, list) and isinstance(now, list):
            found += [f"{part}: {difference}" for difference in _differing_rows(before, now)]
        else:
            found.append(f"{part}: certified {_shown(before)}, now {_shown(now)}")
    return found


def totals_by_fund(balances: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Debits and credits of each fund, from its accounts."""
    totals: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for account in balances:
        totals[account["fund"]][0] += minor(account["debit"])
        totals[account["fund"]][1] += minor(account["credit"])
    return [
        {"fund": fund, "debit": text(debit), "credit": text(credit)} for fund, (debit, credit) in sorted(totals.items())
    ]


def minor(amount: str) -> int:
    """Minor units of an amount of a certificate, exactly, however large. Raises ValueError for any other notation."""
    if not _AMOUNT.fullmatch(amount):
        raise ValueError(f"{amount!r} is no amount with two decimals")
    return int(amount.replace(".", ""))


def text(minor_units: int) -> str:
    """An amount as certificates write it: `-1234.50`."""
    return format(from_minor(minor_units), "f")


def _contradictions(certificate: Certificate) -> Iterator[str]:
    """Where the figures of a certificate do not add up among themselves."""
    if certificate.get("format") != FORMAT:
        yield f"its format is {certificate.get('format')!r}; this program reads {FORMAT!r}"
        return
    try:
        for account in certificate["balances"]:
            opening, debit, credit, closing = (minor(account[of]) for of in ("opening", "debit", "credit", "closing"))
            if opening + debit - credit != closing:
                yield f"account {account['account']} does not follow from its movements"
        for fund in certificate["totals_by_fund"]:
            if fund["debit"] != fund["credit"]:
                yield f"{fund['fund']}: debits {fund['debit']}, credits {fund['credit']}"
        if totals_by_fund(certificate["balances"]) != certificate["totals_by_fund"]:
            yield "the totals of the funds are not those of their accounts"
        if sum(batch["lines"] for batch in certificate["batches"]) != certificate["counts"]["lines"]:
            yield "the lines are not those of the batches"
        if sum(batch["entries"] for batch in certificate["batches"]) != certificate["counts"]["entries"]:
            yield "the entries are not those of the batches"
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        yield f"it is incomplete or malformed ({type(fault).__name__}: {fault})"


def _differing_rows(before: Sequence[Any], now: Sequence[Any]) -> list[str]:
    """Row by row, where the rows have names; what a row is named by is the first of `_NAMES` that it has."""
    was, is_now = ({_row_name(row): row for row in rows} for rows in (before, now))
    if len(was) != len(before) or len(is_now) != len(now):
        return [f"certified {_shown(before)}, now {_shown(now)}"]
    found = []
    for name in [*was, *(name for name in is_now if name not in was)]:
        old, new = was.get(name), is_now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
            found += [f"{name}, {key}: certified {_shown(old.get(key))}, now {_shown(new.get(key))}" for key in keys]
        elif old != new:
            found.append(f"{name}: {'certified, now gone' if new is None else 'there now, not certified'}")
    return found or ["the same rows in another order"]


def _row_name(row: Any) -> str:
    if isinstance(row, dict):
        return next((str(row[name]) for name in _NAMES if name in row), _shown(row))
    return _shown(row)


def _shown(value: Any) -> str:
    shown = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return shown if len(shown) <= 300 else f"{shown[:300]}…"


def _is_signed(hashed: bytes, signature: Any, key: bytes) -> bool:
    if not key:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(_decoded(signature), hashed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _decoded(encoded: Any) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError, TypeError):
        return b""


def _without_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A key that stands twice would be read one way by one program and the other way by another."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands in it twice")
    return found


def _require_exact(value: Any, place: str) -> None:
    match value:
        case bool() | None | str():
            return
        case int() if abs(value) <= _LARGEST_EXACT:
            return
        case list() | tuple():
            for position, item in enumerate(value):
                _require_exact(item, f"{place}[{position}]")
        case dict() if all(isinstance(key, str) and key.isascii() for key in value):
            for key, item in value.items():
                _require_exact(item, f"{place}.{key}")
        case _:
            raise CertificateError(
                place, f"{type(value).__name__} has no exact form in a certificate", "write amounts as text"
            )
