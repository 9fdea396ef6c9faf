"""Which months are archived, and which are due (B7). Light: whoever reads entries asks here first.

Here: questions. Not here: what an archive is made of (archived_rows, archive_files) and how it comes about (archiving).
"""

from typing import Any, Final, Literal

import psycopg

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.storage.reading import rows

Layer = Literal["LEDGER", "SOURCE"]
ACTIVE_MONTHS: Final[dict[Layer, int]] = {"SOURCE": 3, "LEDGER": 12}
"""So many of the newest closed months keep their transactions and entries in the database. In the order in which a
month leaves it."""


class Archived(LedgerError):  # noqa: N818 - what happened
    """What was asked for lies in files: it has to be restored first."""


def is_archived(connection: psycopg.Connection, period: str, layer: Layer = "LEDGER") -> bool:
    """Whether rows of a month lie in files."""
    return bool(rows(connection, "archive/is_archived", period=period, layer=layer)[0]["is_archived"])


def archived_sources(connection: psycopg.Connection) -> list[str]:
    """The months some of whose transactions lie in files, where no query finds them."""
    return [row["period"] for row in rows(connection, "archive/archived_sources")]


def archives(connection: psycopg.Connection, period: str | None = None) -> list[dict[str, Any]]:
    """Every archive that was ever made, of one month or of all; those that were restored bear `restored_at`."""
    return rows(connection, "archive/list", period=period)


def due(connection: psycopg.Connection, layer: Layer, active_months: int) -> list[str]:
    """The months of which the layer is no longer active, and still in the database."""
    return [row["period"] for row in rows(connection, "archive/due", layer=layer, active_months=active_months)]
