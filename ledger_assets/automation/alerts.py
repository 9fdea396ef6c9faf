"""Sensors that notice what somebody has to be told, and the one that tells it (A14).

Each looks at one source and opens incidents; none launches a run. How far each got is in the ledger's database: a
sensor that dies repeats nothing and loses nothing, and `ledger-assets alerts --send` does the same from cron. Belongs
here: when. Not here: what is noticed (run_, check_ and tick_incidents, storage/incidents), and how it is told
(alerts/).
"""

from collections.abc import Callable, Mapping
from typing import Final

import psycopg
from dagster import (
    DagsterInstance,
    DefaultSensorStatus,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from ledger_assets.accounting.counting import counted
from ledger_assets.automation import check_incidents, run_incidents, tick_incidents
from ledger_assets.resources import LedgerResource
from ledger_assets.storage import incidents
from ledger_assets.storage.database import in_transaction
from ledger_assets.storage.incidents import Noted

Look = Callable[[psycopg.Connection, DagsterInstance, str], Noted]

LOOKS: Final[Mapping[str, tuple[str, Look]]] = {
    "operations": (
        "operations and workers",
        lambda connection, _, who: incidents.note_operations(connection, performed_by=who),
    ),
    "runs": (
        "ended runs",
        lambda connection, instance, who: run_incidents.note_runs(connection, instance, performed_by=who),
    ),
    "checks": (
        "check evaluations",
        lambda connection, instance, who: check_incidents.note_checks(connection, instance, performed_by=who),
    ),
    "ticks": (
        "failed ticks",
        lambda connection, instance, who: tick_incidents.note_ticks(connection, instance, performed_by=who),
    ),
}
"""Source -> what it has, and how it is looked at."""


def look(url: str, instance: DagsterInstance, source: str, *, performed_by: str) -> str:
    """Look at what is new in a source, and say in a sentence what came of it. All of it or nothing."""
    what, how = LOOKS[source]
    noted = in_transaction(url, lambda connection: how(connection, instance, performed_by))
    if not noted.read and not noted.opened and not noted.resolved:
        return f"no new {what}"
    return f"{what}: {noted.read:,} new; {counted(noted.opened, 'incident')} noted, {noted.resolved:,} over"


def look_at_everything(url: str, instance: DagsterInstance, *, performed_by: str) -> list[str]:
    """Look at every source, as the sensors do."""
    return [look(url, instance, source, performed_by=performed_by) for source in LOOKS]


def _watching(source: str, description: str, *, every: int = 30) -> SensorDefinition:
    """A sensor that looks at a source, each so many seconds."""

    @sensor(
        name=f"alert_on_{source}",
        minimum_interval_seconds=every,
        default_status=DefaultSensorStatus.RUNNING,
        description=description,
    )
    def looking(context: SensorEvaluationContext, ledger: LedgerResource) -> SkipReason:
        return SkipReason(look(ledger.database_url, context.instance, source, performed_by=ledger.actor))

    return looking


# Runs of any door: a run-failure sensor of Dagster does not see those of the command line.
alert_on_runs = _watching(
    "runs", "Runs that failed, with all their failed gates as one incident; runs that succeeded end incidents."
)
alert_on_checks = _watching(
    "checks", "Asset checks that warn, oldest first: they fail no run, so nothing else tells of them."
)
alert_on_ticks = _watching(
    "ticks",
    "Sensors and schedules whose ticks fail, this one too: otherwise nobody sees that nobody watches.",
    every=60,
)
alert_on_operations = _watching(
    "operations",
    "Rollbacks, reversals, reopenings and failed verifications, from the audit trail: by whatever door they came. "
    "Workers that failed or are slow.",
)


@sensor(
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description="Sends what is due to the channels of LEDGER_ALERTS, and tries again what failed.",
)
def deliver_alerts(ledger: LedgerResource) -> SkipReason:
    """One round of sending. A file that cannot be used fails the tick; a channel that does not work does not."""
    from ledger_assets.alerts.delivery import send_due  # noqa: PLC0415 - jinja2, for those who send

    return SkipReason(send_due(ledger.settings, ledger.database_url, performed_by=ledger.actor).summary)
