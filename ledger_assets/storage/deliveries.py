"""What the controls on delivered data look at, out of PostgreSQL."""

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from ledger_assets.accounting.gates import LoadTotals
from ledger_assets.storage.database import statement


@dataclass(frozen=True)
class Deliveries:
    """The month's loads that are not posted yet, as loaded and as stored, and the open refused rows by reason."""

    loads: list[LoadTotals]
    open_rejections: Mapping[str, int]


def read_deliveries(connection: psycopg.Connection, period: str) -> Deliveries:
    """Measure what has not been measured since it last changed (reads the rows then), and collect it."""
    key = {"period": period}
    for (load_id,) in connection.execute(statement("source/unprocessed_loads"), key).fetchall():
        connection.execute(statement("control/measure_load"), {"load_id": load_id})
    loads = connection.execute(statement("source/measured_loads"), key).fetchall()
    return Deliveries(
        loads=[LoadTotals(load, count, int(was), now, int(checksum)) for load, count, was, now, checksum in loads],
        open_rejections=dict(connection.execute(statement("source/open_rejections"), key).fetchall()),
    )
