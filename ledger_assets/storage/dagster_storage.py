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

from ledger_assets.settings import Settings
from ledger_assets.storage.database import dagster_url, ensure_databases, sqlalchemy_url


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
        return cls(inst_data=inst_data, postgres_url=sqlalchemy_url(dagster_url(settings)))


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
