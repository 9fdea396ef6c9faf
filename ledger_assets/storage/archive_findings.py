"""What is wrong with the files of archives as files: gone, or not the ones that were archived (B7).

The entries in them are proven against the seals by `verification`, which reads them; here are manifests and the files
of transactions, which bear no seal.
"""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import psycopg

from ledger_assets.accounting.verification import Finding
from ledger_assets.storage.archived_rows import MANIFEST, ArchiveMissing, read_bytes, standing


def archive_findings(
    connection: psycopg.Connection, root: Path | None, period: str | None
) -> Iterator[tuple[bool, Finding]]:
    """Whether something differs, or could only not be looked at, and what; of one month or of all."""
    manifests = {}
    for row in standing(connection, root, period):
        where = f"{row['period']}, archive {row['directory']}"
        manifests[row["path"].with_name(MANIFEST)] = (where, row["manifest_sha256"])
        if row["content"] == "transactions":
            yield from _differs(row["path"], row["sha256"], where)
    for path, (where, recorded) in manifests.items():
        yield from _differs(path, recorded, where)


def _differs(path: Path, recorded: str, where: str) -> Iterator[tuple[bool, Finding]]:
    try:
        if sha256(read_bytes(path)).hexdigest() != recorded:
            yield (
                True,
                Finding("archive", where, f"{path}: its bytes are not those that were archived: another SHA-256"),
            )
    except ArchiveMissing as fault:
        yield False, Finding("archive", where, str(fault))
