"""The files of an archive: written completely or not at all, in a directory that is never written to again (B7).

    $LEDGER_ARCHIVE/2024-01/ledger-1/2024-01-MONTHEND.worker-001.lines.parquet
    $LEDGER_ARCHIVE/2024-01/ledger-1/MANIFEST.json

A directory gets its name when all its files are on the disk and proven. Until then it is called `.unfinished-…`, and
the next try takes it away. One that has its name is never written to again, by nobody.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import polars as pl

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.storage.archived_rows import MANIFEST, Stored
from ledger_assets.storage.write_once import sync_directory, write_once

FORMAT: Final = "ledger-assets archive 1"
_UNFINISHED: Final = ".unfinished-"


class ArchiveError(LedgerError):
    """An archive that cannot be written, or that is not what it should be; nothing was dropped."""


@dataclass(frozen=True)
class File:
    """A file of an archive, as the manifest and the database record it."""

    file_name: str
    content: str
    row_count: int
    byte_count: int
    sha256: str
    batch_id: str | None = None
    worker_number: int | None = None
    load_id: int | None = None

    def stored(self, directory: Path) -> Stored:
        return Stored(directory / self.file_name, self.content, self.row_count, self.sha256)


@contextmanager
def unfinished_directory(root: Path, period: str, layer: str) -> Iterator[Path]:
    """A new directory, taken away at the end unless it was given its name. What earlier tries left goes first.

    The caller holds the lock of the month and layer: nobody else is writing.
    """
    month = root / period
    month.mkdir(parents=True, exist_ok=True, mode=0o750)
    for left_behind in month.glob(f"{_UNFINISHED}{layer.lower()}-*"):
        shutil.rmtree(left_behind)
    directory = month / f"{_UNFINISHED}{layer.lower()}-{secrets.token_hex(6)}"
    directory.mkdir(mode=0o750)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def finish(directory: Path, name: Path) -> None:
    """Give a directory its name. Raises ArchiveError when there is one already."""
    sync_directory(directory)
    try:
        directory.rename(name)
    except OSError as fault:
        raise ArchiveError(
            str(name), f"it could not be put there: {fault.strerror}", "move away what lies there"
        ) from fault
    for place in (name.parent, name.parent.parent):
        sync_directory(place)


def write_rows(directory: Path, name: str, content: str, frame: pl.DataFrame, **of: Any) -> File:
    """Write a file of rows; returns what it is, its hash taken from the disk."""
    path = directory / f"{name}.{content}.parquet"
    with path.open("xb") as file:
        os.fchmod(file.fileno(), 0o640)
        frame.write_parquet(file, compression="zstd", statistics=True)
        file.flush()
        os.fsync(file.fileno())
    written = path.read_bytes()
    return File(path.name, content, frame.height, len(written), sha256(written).hexdigest(), **of)


def write_manifest(directory: Path, period: str, layer: str, files: Sequence[File], about: Mapping[str, Any]) -> str:
    """List the files for whoever looks at them without the database; returns the manifest's SHA-256."""
    document = {"format": FORMAT, "period": period, "layer": layer, **about}
    document["files"] = [{name: value for name, value in asdict(file).items() if value is not None} for file in files]
    content = (json.dumps(document, indent=1, ensure_ascii=False, sort_keys=False) + "\n").encode()
    return sha256(write_once(directory / MANIFEST, content, mode=0o640)).hexdigest()


def read_manifest(directory: Path) -> tuple[list[File], str]:
    """The files that a finished directory says it has, and the SHA-256 of its manifest. Raises ArchiveError."""
    try:
        content = (directory / MANIFEST).read_bytes()
        document = json.loads(content)
        files = [File(**file) for file in document["files"]]
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise ArchiveError(
            str(directory), "it lies there, and is no archive that this ledger made", "move it away, and archive again"
        ) from fault
    return files, sha256(content).hexdigest()
