"""The figures of the close, for Prometheus.

Belongs here: looking, by the statements in sql/monitoring/. Nothing here writes. Not here: whether the ledger is well
(health.py), how a figure is shown (commands/watching.py), what to do about it (docs/monitoring.md).
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from ledger_assets.storage.database import connect
from ledger_assets.storage.reading import rows

QUESTIONS: Final = (
    "batch_progress", "workers_by_status", "slow_workers", "database_activity", "recent_checkpoints",
)  # fmt: skip
"""The five of A13: each a statement of sql/monitoring/ and a view of the schema control."""


@dataclass(frozen=True)
class Metric:
    """A gauge of Prometheus: a sample for each set of labels. `labels` has their names, in the order of the samples."""

    name: str
    about: str
    labels: tuple[str, ...]
    samples: list[tuple[tuple[str, ...], float]]


def metrics(url: str) -> list[Metric]:
    """All figures, `ledger_up` first. Without a server that is the only one, and 0: the others would be old or wrong.

    Labels are months, states, gates and the like: nothing that names a person, a transaction or a batch.
    """
    try:
        with connect(url, autocommit=True) as connection:
            return [_gauge("ledger_up", "Whether the ledger's database answers.", 1), *_figures(connection)]
    except psycopg.OperationalError:
        return [_gauge("ledger_up", "Whether the ledger's database answers.", 0)]


def _figures(connection: psycopg.Connection) -> list[Metric]:
    answers = {question: rows(connection, f"monitoring/{question}") for question in QUESTIONS}
    return [
        *_of_the_months(connection),
        *_of_the_running_batch(answers),
        *_of_the_books(connection),
        *_of_the_incidents(connection),
    ]


def _of_the_months(connection: psycopg.Connection) -> list[Metric]:
    batches, verdicts = rows(connection, "monitoring/batches_by_state"), rows(connection, "monitoring/gate_verdicts")
    return [
        _table("ledger_batches", "Batches of the newest 24 months.", ("period", "kind", "state"), "batches", batches),
        _table("ledger_gate_passed", "Whether a gate passed, in the latest attempt of the month's newest batch.",
               ("period", "gate"), "passed", verdicts),
    ]  # fmt: skip


def _of_the_running_batch(answers: dict[str, list[dict[str, Any]]]) -> list[Metric]:
    progress, workers = answers["batch_progress"], answers["workers_by_status"]
    paced = [row for row in workers if row["average_records_per_second"] is not None]
    timed = [row for row in progress if row["minutes_remaining"] is not None]
    connections = Counter((str(row["state"] or "hidden"),) for row in answers["database_activity"])
    of_batch, of_worker = ("period", "kind"), ("period", "kind", "status")
    return [
        _table("ledger_batch_records_expected", "Records of a running batch.", of_batch, "records_expected", progress),
        _table("ledger_batch_records_processed", "Records of its finished workers.", of_batch, "records_processed",
               progress),
        _table("ledger_batch_minutes_remaining", "Minutes until it is staged.", of_batch, "minutes_remaining", timed),
        _table("ledger_workers", "Workers of batches that have not ended, and of the last.", of_worker, "workers",
               workers),
        _table("ledger_worker_records_per_second", "Average pace of those workers.", of_worker,
               "average_records_per_second", paced),
        _gauge("ledger_slow_workers", "Workers below 500 records a second.", len(answers["slow_workers"])),
        _gauge("ledger_recent_checkpoints", "Workers that finished in the last five minutes.",
               len(answers["recent_checkpoints"])),
        Metric("ledger_connections", "Connections to the ledger's database.", ("state",), sorted(connections.items())),
    ]  # fmt: skip


def _of_the_books(connection: psycopg.Connection) -> list[Metric]:
    (totals,) = rows(connection, "monitoring/totals")
    verified = rows(connection, "monitoring/last_verification")
    closed = [totals] if totals["last_close_at"] is not None else []
    return [
        _table("ledger_open_exceptions", "Transactions that could not be journaled.", (), "open_exceptions", [totals]),
        _table("ledger_open_refused_rows", "Refused source rows that wait.", (), "open_refused_rows", [totals]),
        _table("ledger_database_bytes", "Size of the ledger's database.", (), "database_bytes", [totals]),
        _table("ledger_posted_entries", "Posted entries, by the control tables.", (), "posted_entries", [totals]),
        _table("ledger_posted_lines", "Posted lines, by the control tables.", (), "posted_lines", [totals]),
        _table("ledger_last_close_timestamp_seconds", "When a month was last closed.", (), "last_close_at", closed),
        _table("ledger_last_verification_succeeded", "Whether the last verify found nothing wrong.", (), "succeeded",
               verified),
        _table("ledger_last_verification_timestamp_seconds", "When that was.", (), "performed_at", verified),
    ]  # fmt: skip


def _of_the_incidents(connection: psycopg.Connection) -> list[Metric]:
    noted = rows(connection, "monitoring/incidents")
    return [
        _table("ledger_open_incidents", "Incidents that are not over.", ("severity",), "incidents", noted),
        _gauge("ledger_alerts_undelivered", "Messages that failed or were given up.", noted[0]["undelivered"]),
    ]


def _gauge(name: str, about: str, value: float) -> Metric:
    return Metric(name, about, (), [((), float(value))])


def _table(name: str, about: str, labels: tuple[str, ...], value: str, found: list[dict[str, Any]]) -> Metric:
    return Metric(name, about, labels, [(tuple(str(row[key]) for key in labels), float(row[value])) for row in found])
