"""Files that are written once: complete or not at all, and never over one that is there."""

import os
import secrets
from contextlib import suppress
from pathlib import Path


def write_once(path: Path, content: bytes, *, mode: int = 0o644) -> bytes:
    """Put a file into its place if there is none yet; returns what lies there then, ours or another's.

    Safe in any number of processes at once, and when killed: the name appears when the bytes are on the disk.
    """
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(unfinished, path)  # unlike a renaming, it never replaces
        sync_directory(path.parent)
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()
    return path.read_bytes()


def sync_directory(directory: Path) -> None:
    """The name survives a crash of the machine only when its directory is on the disk too."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
