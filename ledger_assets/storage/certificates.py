"""Certificates of closed months: made, kept in the ledger, published as files (E7). To check: certificate_findings.py.

A certificate is made while the month and its predecessor are held, so that its figures are those of one moment. The
ledger's record comes first and the file after it: a kill in between leaves a file to be written by the next run, never
one of which the ledger knows nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger_assets.accounting.certificate import (
    FORMAT,
    Certificate,
    CertificateError,
    Document,
    differences,
    from_text,
    minor,
    sign,
    to_text,
    totals_by_fund,
    verify,
)
from ledger_assets.accounting.rederivation import MOVEMENTS, Kept, reconcile
from ledger_assets.settings import Settings
from ledger_assets.storage.batches import explained
from ledger_assets.storage.database import statement
from ledger_assets.storage.derivation import derive
from ledger_assets.storage.reading import rows
from ledger_assets.storage.signing_key import CERTIFICATES, signing_key, trusted_keys
from ledger_assets.storage.write_once import write_once


@dataclass(frozen=True)
class Issued:
    """A certificate in its places; `is_new` = it was made just now."""

    document: Document
    path: Path
    is_new: bool


def issue(connection: psycopg.Connection, settings: Settings, period: str, *, performed_by: str) -> Issued:
    """The certificate of a closed month: the one that it has, or a new one. Months before it without one come first.

    Reads every line of the month. The connection must be outside of a transaction: each certificate is one. Safe to
    repeat and to kill. Raises BatchStateError when the month is not closed, SigningKeyError, and CertificateError
    (DerivationDiffers) when the ledger contradicts itself or what it certified before; then nothing new is certified.
    """
    key = signing_key(settings)
    with connection.transaction():
        earlier = [row["period"] for row in rows(connection, "certificate/uncertified", period=period)]
    for month in earlier:
        _issue(connection, settings, key, month, performed_by)
    return _issue(connection, settings, key, period, performed_by)


def _issue(
    connection: psycopg.Connection, settings: Settings, key: Ed25519PrivateKey, period: str, performed_by: str
) -> Issued:
    home = settings.home
    with explained(), connection.transaction():
        connection.execute(statement("certificate/hold_close"), {"period": period})
        certificate = present(connection, period)
        rederive(connection, period, certificate, home, settings.archive)
        close_number = certificate["close_number"]
        published = certificate_path(home, period, close_number).exists()  # asked first: a record comes before its file
        text = _stored_text(connection, period, close_number)
        if is_new := text is None:
            if published:
                raise _unknown_here(certificate_path(home, period, close_number))
            text = to_text(sign({**certificate, "issued_at": _now()}, key))
            (is_new,) = _one(connection, "certificate/record", period=period, document=text, performed_by=performed_by)
        if not is_new:  # it was there, or somebody has just been faster
            text = _stored_text(connection, period, close_number) or ""
            _require_unchanged(from_text(text, _name(period, close_number)), certificate, home)
    path = certificate_path(home, period, close_number)
    _publish(path, text)
    return Issued(from_text(text, _name(period, close_number)), path, is_new)


def certificate_path(home: Path, period: str, close_number: int) -> Path:
    """Where the certificate of a close is published; that of the second close of a month ends with -2."""
    return home / CERTIFICATES / f"{period}{'' if close_number == 1 else f'-{close_number}'}.json"


def latest(connection: psycopg.Connection, period: str) -> Document | None:
    """The newest certificate of a month, as the ledger keeps it, unchecked; None when it has none."""
    found = rows(connection, "certificate/latest", period=period)
    return from_text(found[0]["document"], _name(period, found[0]["close_number"])) if found else None


def present(connection: psycopg.Connection, period: str) -> dict[str, Any]:
    """What a certificate of the month would say now, without its time of issue. Reads no line."""
    (month,) = rows(connection, "certificate/month", period=period)
    batches = rows(connection, "certificate/batches", period=period)
    sealed = seals(connection, [batch["batch_id"] for batch in batches])
    balances = [_amounts(row) for row in rows(connection, "certificate/balances", period=period)]
    used = [batch for batch in batches if batch["entries"]]
    return {
        "format": FORMAT,
        "period": period,
        "close_number": month["close_number"],
        "currency": month["currency"],
        "counts": {
            "transactions": rows(connection, "certificate/transactions", period=period),
            "entries": sum(batch["entries"] for batch in batches),
            "lines": sum(batch["lines"] for batch in batches),
        },
        "numbers": {
            "first": min((batch["first_je_number"] for batch in used), default=None),
            "last": max((batch["last_je_number"] for batch in used), default=None),
        },
        "loads": rows(connection, "certificate/loads", period=period),
        "batches": [{**batch, "seal": sealed.get(batch["batch_id"])} for batch in batches],
        "balances": balances,
        "totals_by_fund": totals_by_fund(balances),
        "fund_balances": [_amounts(row) for row in rows(connection, "certificate/fund_balances", period=period)],
        "previous": _reference(connection, month["previous_period"]) if month["follows_a_close"] else None,
        "replaces": _replaced(connection, period, month["close_number"]),
        "chain_heads": {
            "seal": _head(connection, "certificate/seal_head"),
            "audit": _head(connection, "certificate/audit_head"),
        },
    }


def rederive(
    connection: psycopg.Connection, period: str, certificate: Certificate, home: Path, archive: Path | None = None
) -> None:
    """Add the posted lines up again with DuckDB, on top of the certificate of the month before, and compare.

    Raises DerivationDiffers, or CertificateError when the certificate of the month before is no ground to stand on.
    """
    openings = _openings(connection, certificate, home)
    reconcile(period, derive(connection, [period], openings, archive), _kept(certificate))


def rederive_from_the_beginning(
    connection: psycopg.Connection, period: str, certificate: Certificate, archive: Path | None = None
) -> None:
    """Add up every line of the books up to this month: its closing balances from nothing but lines.

    Raises DerivationDiffers naming the account. Reads all months.
    """
    months = [row["period"] for row in rows(connection, "certificate/months_until", period=period)]
    derived = derive(connection, months, {}, archive)
    kept = _kept(certificate)
    closings = {account: amounts["closing"] for account, amounts in kept.accounts.items()}
    whole = {
        balance.account: {
            **{movement: getattr(balance, movement) for movement in MOVEMENTS},
            "closing": closings.get(balance.account, 0),
        }
        for balance in derived.balances
    }
    missing = {code: dict.fromkeys(MOVEMENTS, 0) | {"closing": c} for code, c in closings.items() if code not in whole}
    reconcile(f"{period} from the first line on", derived, Kept(whole | missing, kept.funds, derived.lines))


def seals(connection: psycopg.Connection, batch_ids: list[str]) -> dict[str, dict[str, Any]]:
    """Root, position in the chain and chained hash of the seal of each batch that has one."""
    found = rows(connection, "certificate/seals", batch_ids=batch_ids)
    return {row.pop("batch_id"): row for row in found}


def contradictions(certified: Certificate, present: Certificate) -> list[str]:
    """As `differences`, but a month may follow on an earlier close of its predecessor.

    That was closed anew then without a change of what it carries over: the opening balances are compared, too.
    """
    before, now = certified.get("previous"), present["previous"]
    if before and now and before["period"] == now["period"] and before["close_number"] < (now["close_number"] or 0):
        present = {**present, "previous": before}
    return differences(certified, present)


def _openings(connection: psycopg.Connection, certificate: Certificate, home: Path) -> dict[str, int]:
    if certificate["previous"] is None:
        return {}
    period = certificate["previous"]["period"]
    document = latest(connection, period)
    if document is None or (problems := verify(document, trusted_keys(home))):
        raise CertificateError(
            f"the certificate of {period}",
            "the month after it cannot stand on it: " + ("there is none" if document is None else problems[0]),
            f"look at it: ledger-assets certificate {period}",
        )
    return {account["account"]: minor(account["closing"]) for account in document["certificate"]["balances"]}


def _kept(certificate: Certificate) -> Kept:
    return Kept(
        accounts={
            account["account"]: {movement: minor(account[movement]) for movement in MOVEMENTS}
            for account in certificate["balances"]
        },
        funds={fund["fund"]: minor(fund["closing"]) for fund in certificate["fund_balances"]},
        lines=certificate["counts"]["lines"],
    )


def _require_unchanged(document: Document, certificate: Certificate, home: Path) -> None:
    problems = verify(document, trusted_keys(home)) + contradictions(document["certificate"], certificate)
    if problems:
        raise CertificateError(
            _name(certificate["period"], certificate["close_number"]),
            f"the ledger no longer is what was certified: {'; '.join(problems)}",
            "find out what was changed, and by whom; a month that was opened again has to be closed again",
        )


def _unknown_here(path: Path) -> CertificateError:
    return CertificateError(
        str(path),
        "it certifies a close that this ledger knows nothing of",
        "restore the ledger; if the books were begun anew, move the certificates of the old ones away",
    )


def _publish(path: Path, text: str) -> None:
    """Raises CertificateError when another text lies there: nothing is ever written over a certificate."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode("utf-8")
    lies_there = path.read_bytes() if path.exists() else write_once(path, content)
    if lies_there != content:
        raise CertificateError(
            str(path),
            "the file is not the certificate that the ledger recorded",
            "compare the two (ledger-assets certificate), find out which one was changed, and by whom",
        )


def _stored_text(connection: psycopg.Connection, period: str, close_number: int) -> str | None:
    for row in rows(connection, "certificate/stored", period=period):
        if row["close_number"] == close_number:
            return str(row["document"])
    return None


def _replaced(connection: psycopg.Connection, period: str, close_number: int) -> dict[str, Any] | None:
    earlier = [
        row for row in rows(connection, "certificate/stored", period=period) if row["close_number"] < close_number
    ]
    return {"close_number": earlier[-1]["close_number"], "sha256": earlier[-1]["sha256"]} if earlier else None


def _reference(connection: psycopg.Connection, period: str) -> dict[str, Any]:
    """The certificate of the month before; its hash is null when it has none, which no certificate is issued upon."""
    found = rows(connection, "certificate/latest", period=period)
    names = ("period", "close_number", "sha256")
    return (
        {name: found[0][name] for name in names} if found else {"period": period, "close_number": None, "sha256": None}
    )


def _head(connection: psycopg.Connection, name: str) -> dict[str, Any] | None:
    found = rows(connection, name)
    return found[0] if found else None


def _amounts(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: format(value, "f") if isinstance(value, Decimal) else value for name, value in row.items()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _name(period: str, close_number: int) -> str:
    return f"the certificate of {period}" + ("" if close_number == 1 else f", close {close_number}")


def _one(connection: psycopg.Connection, name: str, **parameters: Any) -> tuple[Any, ...]:
    row = connection.execute(statement(name), parameters).fetchone()
    if row is None:
        raise AssertionError(f"{name} returned no row")
    return row
