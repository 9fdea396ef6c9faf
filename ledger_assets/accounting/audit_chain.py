"""The audit trail computed again, trusting nothing but SHA-256 (A9).

Here: the form that is hashed and what can be wrong with a chain of such hashes. Not here: reading it (storage/audit).
The form is written down in docs/audit-trail.md; `audit.operation_hash` makes it in SQL when an operation is committed.

Every link covers its position, the hash of the link before, and every field of the operation: an operation cannot be
edited, taken out, added in between or moved without a hash that no longer fits. What the chain cannot show by itself is
that its end was cut off: for that, compare with a link that was noted outside (`Witness`).
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

TAG: Final = "ledger_assets audit"
VERSION: Final = 1
NOTHING_BEFORE: Final = bytes(32)
"""The previous hash of the first link."""

FIELDS: Final = (
    "operation_id", "batch_id", "period", "operation", "performed_by", "performed_at", "client_address", "client_agent",
    "database_role", "role_taken", "state_before", "state_after", "outcome", "details",
)  # fmt: skip
"""What is hashed of an operation, in this order: as text, `performed_at` in microseconds since 1970-01-01 UTC."""


class Link(NamedTuple):
    """A link of the chain beside the operation that it names; of either, None where it is missing.

    Attributes:
        position: from 1; None for an operation without link.
        operation_id: as the link says, or for an operation without link its own.
        version: of the hashed form.
        previous_hash, hash: 32 bytes each.
        fields: the texts of `FIELDS`; None when there is no such operation.
    """

    position: int | None
    operation_id: int
    version: int | None
    previous_hash: bytes | None
    hash: bytes | None
    fields: tuple[str | None, ...] | None


class Witness(NamedTuple):
    """A link as it was noted at some place outside of the database: in an export, a certificate, a mail."""

    position: int
    hash: bytes


class ChainFinding(NamedTuple):
    """Something that is wrong with the trail; position is None for an operation without link."""

    position: int | None
    operation_id: int | None
    problem: str

    def __str__(self) -> str:
        place = "no link" if self.position is None else f"link {self.position}"
        return f"{place}, operation {self.operation_id}: {self.problem}"


def operation_hash(
    position: int, previous_hash: bytes, fields: Iterable[str | None], *, version: int = VERSION
) -> bytes:
    """The hash of a link: each part as <bytes in UTF-8>:<text>, None as ~, one after the other."""
    digest = hashlib.sha256()
    for part in (f"{TAG} {version}", str(position), previous_hash.hex(), *fields):
        if part is None:
            digest.update(b"~")
        else:
            encoded = part.encode()
            digest.update(b"%d:%b" % (len(encoded), encoded))
    return digest.digest()


def verify(links: Iterable[Link], witnesses: Iterable[Witness] = ()) -> Iterator[ChainFinding]:
    """What is wrong with the trail, in its order; nothing = it is whole, and all that the witnesses saw is in it.

    Args:
        links: by position, operations without link last. Read one by one: the trail may be longer than memory.
        witnesses: links noted outside.
    """
    noted = {witness.position: witness.hash for witness in witnesses}
    before, hash_before = 0, NOTHING_BEFORE
    for link in links:
        if link.position is None or link.hash is None or link.previous_hash is None:
            yield ChainFinding(None, link.operation_id, "the operation has no link")
            continue
        problems = _problems(link, link.position, link.previous_hash, before, hash_before)
        if noted.pop(link.position, link.hash) != link.hash:
            problems.append("its hash is not the one that was noted outside")
        yield from (ChainFinding(link.position, link.operation_id, problem) for problem in problems)
        before, hash_before = link.position, link.hash
    for position in sorted(noted):
        yield ChainFinding(position, None, "it was noted outside, and is missing")


def _problems(link: Link, position: int, previous_hash: bytes, before: int, hash_before: bytes) -> list[str]:
    problems = []
    if position != before + 1:
        problems.append(f"links {before + 1} to {position - 1} are missing")
    if previous_hash != hash_before:
        problems.append("it does not continue the link before it")
    if link.version != VERSION:
        problems.append(f"its form is version {link.version}, which is not known here")
    elif link.fields is None:
        problems.append("its operation is missing")
    elif link.hash != operation_hash(position, previous_hash, link.fields):
        problems.append("its operation is not what was hashed")
    return problems
