"""What is wrong with the certificates, or with the ledger that they certify (E7).

The published files are the witness outside of the database: whoever can rewrite every table, chains included, makes a
ledger that agrees with itself and not with them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus

from ledger_assets.accounting.certificate import (
    Certificate,
    CertificateError,
    Document,
    from_text,
    signer,
    verify,
)
from ledger_assets.storage.archived_rows import ArchiveMissing
from ledger_assets.storage.certificates import (
    certificate_path,
    contradictions,
    present,
    rederive,
    rederive_from_the_beginning,
    seals,
)
from ledger_assets.storage.reading import rows
from ledger_assets.storage.signing_key import CERTIFICATES, trusted_keys

_LINKS: Final = {"seal": "certificate/seal_link", "audit": "certificate/audit_link"}


@dataclass(frozen=True)
class Finding:
    """Something that an auditor has to be told: about which month's certificate, and what."""

    period: str
    problem: str
    differs: bool = True
    """False: nothing is wrong, but something is not certified."""

    def __str__(self) -> str:
        return f"certificate of {self.period}: {self.problem}"


@dataclass(frozen=True)
class Examined:
    """The newest certificate of a month, and everything that is wrong with the month's certificates."""

    document: Document
    findings: Sequence[Finding]


def findings(connection: psycopg.Connection, home: Path, period: str | None = None) -> list[Finding]:
    """Everything wrong with the certificates of one month or of all; empty = nothing. Reads no line.

    Each certificate: hash, signature, chain, the file beside the ledger's record, and that every batch, seal and chain
    position that it names is still there. The newest one of a closed month: that the ledger still says just that.
    """
    with _one_moment(connection):
        return list(_findings(connection, home, period))


def examine(
    connection: psycopg.Connection, home: Path, period: str, *, all_lines: bool = False, archive: Path | None = None
) -> Examined | None:
    """As `findings`, and the lines of the month are added up again; with `all_lines`, those of all months before too.

    `archive`: where the files of archived months lie.

    None when the month has no certificate, neither in the ledger nor as a file. Reads every line of the month.
    """
    with _one_moment(connection):
        found = list(_findings(connection, home, period))
        stored = rows(connection, "certificate/stored", period=period)
        if stored:
            document = from_text(stored[-1]["document"], f"the certificate of {period} in the ledger")
            found += _by_the_lines(connection, home, document["certificate"], all_lines=all_lines, archive=archive)
        elif paths := _published(home, period):
            document = from_text(paths[-1].read_text(encoding="utf-8"), str(paths[-1]))
        else:
            return None
    return Examined(document, found)


def examine_file(text: str, name: str, trusted: set[bytes]) -> tuple[Document, list[str]]:
    """A certificate without its ledger: what is wrong with it by itself. Without trusted keys, its own is believed.

    Raises CertificateError for a text that is no certificate.
    """
    document = from_text(text, name)
    return document, verify(document, trusted or {signer(document)})


@contextmanager
def _one_moment(connection: psycopg.Connection) -> Iterator[None]:
    """A posting in the middle of the reading would look like a forgery; who has a transaction open decides himself."""
    idle = connection.info.transaction_status == TransactionStatus.IDLE
    with connection.transaction():
        if idle:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _findings(connection: psycopg.Connection, home: Path, period: str | None) -> Iterator[Finding]:
    stored = (
        rows(connection, "certificate/all") if period is None else rows(connection, "certificate/stored", period=period)
    )
    known = {certificate_path(home, row["period"], row["close_number"]): row for row in stored}
    for path in _published(home, period):
        if path not in known:
            yield from (Finding(_period_of(path), problem) for problem in _unrecorded(connection, path))
    trusted = trusted_keys(home)
    if stored and not trusted:
        yield Finding(stored[0]["period"], f"no public key lies in {home / CERTIFICATES}: its signature proves nothing")
    newest = {row["period"]: row["close_number"] for row in stored}  # in the order of the closes
    for path, row in known.items():
        try:
            document = from_text(row["document"], "the ledger's record")
        except CertificateError as fault:
            yield Finding(row["period"], str(fault))
            continue
        problems = [
            *verify(document, trusted or {signer(document)}),
            *_against_its_file(path, row),
            *_named_but_gone(connection, document["certificate"]),
        ]
        if document["sha256"] != row["sha256"]:
            problems.append("the ledger records another hash than that of the document")
        yield from (Finding(row["period"], problem) for problem in problems)
        if row["close_number"] == newest[row["period"]]:
            yield from _against_the_ledger(connection, document["certificate"])


def _unrecorded(connection: psycopg.Connection, path: Path) -> Iterator[str]:
    yield f"{path} was published, and the ledger has no record of it"
    try:
        certificate = from_text(path.read_text(encoding="utf-8", errors="replace"), str(path))["certificate"]
        yield from (f"{path}: {problem}" for problem in _named_but_gone(connection, certificate))
    except CertificateError as fault:
        yield str(fault)
    except (KeyError, TypeError, ValueError, AttributeError):
        yield f"{path}: it is incomplete or malformed"


def _against_its_file(path: Path, row: Mapping[str, Any]) -> Iterator[str]:
    if not path.exists():
        yield f"its file {path} is missing"
    elif path.read_bytes() != row["document"].encode("utf-8"):
        yield f"its file {path} says something else than the ledger's record"


def _named_but_gone(connection: psycopg.Connection, certificate: Certificate) -> Iterator[str]:
    """What the ledger had when it was certified and has no more: batches, seals, links, certificates."""
    batches = {batch["batch_id"]: batch["seal"] for batch in certificate["batches"]}
    states = {
        row["batch_id"]: row["state"] for row in rows(connection, "certificate/batch_states", batch_ids=list(batches))
    }
    sealed = seals(connection, list(batches))
    for batch_id, seal in batches.items():
        if states.get(batch_id) not in {"COMMITTED", "ROLLED_BACK"}:
            yield f"batch {batch_id} was posted then, now it is {states.get(batch_id, 'gone')}"
        if seal is not None and seal != sealed.get(batch_id):
            yield f"the seal of batch {batch_id} is not the one that was certified"
    for chain, head in certificate["chain_heads"].items():
        if head is None:
            continue
        links = rows(connection, _LINKS[chain], position=head["position"])
        if not links or links[0]["hash"] != head["hash"]:
            gone = "is another one now" if links else "is gone: the chain was shortened"
            yield f"link {head['position']} of the {chain} chain {gone}"
    for relation in ("previous", "replaces"):
        if (named := certificate[relation]) is not None:
            yield from _missing_certificate(connection, certificate["period"], relation, named)


def _missing_certificate(
    connection: psycopg.Connection, period: str, relation: str, named: Mapping[str, Any]
) -> Iterator[str]:
    month = named.get("period", period)
    recorded = {row["close_number"]: row["sha256"] for row in rows(connection, "certificate/stored", period=month)}
    what = f"the certificate of {month} that it follows on" if relation == "previous" else "the one that it replaces"
    if named["close_number"] not in recorded:
        yield f"{what} is missing"
    elif recorded[named["close_number"]] != named["sha256"]:
        yield f"{what} is another one now"


def _against_the_ledger(connection: psycopg.Connection, certificate: Certificate) -> Iterator[Finding]:
    """A month that was rolled back, reopened or closed anew since supersedes its certificate: that breaks nothing."""
    period = certificate["period"]
    (month,) = rows(connection, "certificate/month", period=period)
    if month["close_number"] < certificate["close_number"]:
        problem = f"it is that of close {certificate['close_number']}, the ledger knows of {month['close_number']}"
        yield Finding(period, problem)
    elif month["close_number"] > certificate["close_number"] and month["is_closed"]:
        problem = f"close {month['close_number']} of the month has none yet; materialize close_report"
        yield Finding(period, problem, differs=False)
    elif month["is_closed"]:
        yield from (Finding(period, problem) for problem in contradictions(certificate, present(connection, period)))


def _by_the_lines(
    connection: psycopg.Connection, home: Path, certificate: Certificate, *, all_lines: bool, archive: Path | None
) -> Iterator[Finding]:
    (month,) = rows(connection, "certificate/month", period=certificate["period"])
    if not month["is_closed"] or month["close_number"] != certificate["close_number"]:
        return
    try:
        rederive(connection, certificate["period"], certificate, home, archive)
        if all_lines:
            rederive_from_the_beginning(connection, certificate["period"], certificate, archive)
    except CertificateError as fault:
        yield Finding(certificate["period"], str(fault))
    except ArchiveMissing as fault:
        yield Finding(certificate["period"], str(fault), differs=False)


def _published(home: Path, period: str | None) -> list[Path]:
    return sorted((home / CERTIFICATES).glob(f"{period or ''}*.json"), key=lambda path: (len(path.name), path.name))


def _period_of(path: Path) -> str:
    return path.stem[:7]
