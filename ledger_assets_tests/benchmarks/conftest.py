"""A server of the benchmarks' own: what it counts is theirs alone, and nothing comes by at a time of its choosing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger_assets.settings import Settings
from ledger_assets.storage.database import connect
from ledger_assets.storage.server import EmbeddedServer
from ledger_assets_tests.conftest import _dissolve, make_home


@pytest.fixture(scope="session")
def quiet_server() -> Iterator[Settings]:
    """The embedded server, without checkpoints and autovacuum in between: figures of pages and WAL repeat exactly."""
    home = Path(make_home())
    try:
        url = EmbeddedServer(home).ensure_running()
        with connect(url, autocommit=True) as connection:
            for setting in (
                "fsync = off",
                "autovacuum = off",
                "checkpoint_timeout = '1d'",
                # Files of less than two megabytes would be written to the WAL at commit instead of being flushed.
                "wal_skip_threshold = 0",
            ):
                connection.execute(f"ALTER SYSTEM SET {setting}")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("CHECKPOINT")
        yield Settings(home=home)
    finally:
        _dissolve(home)
