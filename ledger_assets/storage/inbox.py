"""The inbox: a folder per month where files can be left for the `txn_source` asset to take in."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.mapping import load_mapping
from ledger_assets.accounting.months import first_day
from ledger_assets.settings import Settings
from ledger_assets.storage.database import in_transaction, statement
from ledger_assets.storage.source_files import sha256_of
from ledger_assets.storage.source_loads import LoadResult, ingest

SUFFIXES = (".csv", ".parquet")
MAPPING = "mapping.toml"


def inbox(settings: Settings, period: str) -> Path:
    """`$LEDGER_HOME/inbox/<period>`; it need not exist. Raises PeriodError."""
    first_day(period)  # a path that a text from outside is part of
    return settings.home / "inbox" / period


def files_in_inbox(settings: Settings, period: str) -> dict[str, float]:
    """The names of the files in a month's inbox, each with the second since 1970 at which it was put or changed there.

    The mapping that lies beside them counts for all of them: changing it makes them new.
    """
    folder = inbox(settings, period)
    if not folder.is_dir():
        return {}
    described = folder / MAPPING
    since = described.stat().st_ctime if described.is_file() else 0.0
    # The time at which the file came to lie here, whatever day a copying program gave it.
    return {path.name: max(path.stat().st_ctime, since) for path in _files(folder)}


def not_taken_in(connection: psycopg.Connection, settings: Settings, period: str) -> list[str]:
    """The names of the files that a close of the month would take in, or try to; looks and changes nothing."""
    folder = inbox(settings, period)
    if not folder.is_dir():
        return []
    described = folder / MAPPING
    try:
        mapping = load_mapping(described if described.is_file() else None)
    except LedgerError as fault:
        return [str(fault)]
    identity = {"period": period, "mapping_sha256": mapping.sha256}
    return [
        path.name
        for path in _files(folder)
        if not connection.execute(statement("source/find_load"), identity | {"file_sha256": sha256_of(path)}).fetchone()
    ]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)


def ingest_inbox(url: str, settings: Settings, period: str, *, loaded_by: str) -> Iterator[LoadResult]:
    """Load every file of the month's inbox, in the order of their names; one that was loaded before changes nothing.

    The files stay where they are. A malformed file raises SourceFileError and leaves no trace; those before it are
    loaded.
    """
    folder = inbox(settings, period)
    if not folder.is_dir():
        return
    described = folder / MAPPING
    mapping = load_mapping(described if described.is_file() else None)
    for path in _files(folder):
        load = partial(
            ingest, path=path, period=period, mapping=mapping, currency=settings.currency, loaded_by=loaded_by
        )
        yield in_transaction(url, load)
