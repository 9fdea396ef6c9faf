"""What a figure depends on and cannot say itself: machine, versions, the server's settings."""

import os
import platform
from importlib.metadata import version
from typing import Any

import psutil

from ledger_assets.bench.meter import MEBIBYTE
from ledger_assets.storage.database import connect, statement

_PACKAGES = ("ledger-assets", "polars", "psycopg", "pgpq", "pyarrow")


def surroundings(url: str) -> dict[str, Any]:
    """Cores and memory of the machine that asks, versions, and the settings of the server that matter."""
    with connect(url) as connection:
        settings = dict(connection.execute(statement("bench/server_settings")).fetchall())
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_mb": psutil.virtual_memory().total // MEBIBYTE,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "server": settings,
    }
