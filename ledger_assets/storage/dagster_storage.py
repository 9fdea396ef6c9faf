"""Dagster's own memory, put where the settings say: named in dagster.yaml, configured by nothing there.

A plain `dagster dev` in the project's directory then keeps runs, events and check results in PostgreSQL
and logs and files under the home, with no environment variable set and nothing left in the project.
"""

from collections.abc import Mapping
from typing import Any

from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from sqlalchemy import make_url
from sqlalchemy.dialects import plugins
from sqlalchemy.engine import URL, CreateEnginePlugin
from sqlalchemy.pool import QueuePool

from ledger_assets.settings import Settings
from ledger_assets.storage.database import dagster_url, ensure_databases, sqlalchemy_url

_KEEPS_CONNECTIONS = "ledger_assets_keeps_connections"


class KeepsConnections(CreateEnginePlugin):
    """What a URL with `?plugin=` and our name makes of an engine: one that connects once, not for every statement.

    dagster-postgres asks for the latter: 300 connections for one close, most of what it cost the server. Each of its
    three storages keeps one connection; what several threads need at once is opened beside it and closed again. A kept
    one is asked for a sign of life before each use, and replaced without one: a server that was started again in
    between is no fault. After a minute it is replaced anyway, so that a network that swallows everything, which no
    sign of life can tell from a slow one, is met by the time limit of a connect.
    """

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        super().__init__(url, kwargs)
        kwargs |= {
            "poolclass": QueuePool,
            "pool_size": 1,
            "max_overflow": -1,
            "pool_pre_ping": True,
            "pool_recycle": 60,
        }

    def update_url(self, url: URL) -> URL:
        """As it is: it has no parameters of ours."""
        return url


plugins.register(_KEEPS_CONNECTIONS, __name__, KeepsConnections.__name__)


class LedgerDagsterStorage(DagsterPostgresStorage):
    """Runs, events and schedules in the database beside the ledger, which is created and started if need be."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Mapping[str, object],  # noqa: ARG003 (empty: see the schema)
    ) -> "LedgerDagsterStorage":
        settings = Settings.from_environment()
        ensure_databases(settings)
        url = make_url(sqlalchemy_url(dagster_url(settings))).update_query_dict({"plugin": _KEEPS_CONNECTIONS})
        return cls(inst_data=inst_data, postgres_url=url.render_as_string(hide_password=False))


class LedgerArtifactStorage(LocalArtifactStorage):
    """What Dagster keeps in files."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Mapping[str, object],  # noqa: ARG003 (empty: see the schema)
    ) -> "LedgerArtifactStorage":
        return cls(inst_data=inst_data, base_dir=_directory("files"))


class LedgerComputeLogManager(LocalComputeLogManager):
    """What the steps wrote to stdout and stderr."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Mapping[str, object],  # noqa: ARG003 (empty: see the schema)
    ) -> "LedgerComputeLogManager":
        return cls(inst_data=inst_data, base_dir=_directory("compute_logs"))


def _directory(name: str) -> str:
    """A directory under the home, made here because Dagster expects to find it."""
    directory = Settings.from_environment().home / "dagster" / name
    directory.mkdir(parents=True, exist_ok=True)
    return str(directory)
