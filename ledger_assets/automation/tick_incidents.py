"""Sensors and schedules that fail, and work again."""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import psycopg
from dagster import (
    DagsterInstance,
)
from dagster._core.scheduler.instigation import TickStatus

from ledger_assets.automation.dagster_events import (
    AT_MOST,
    first_words,
    moment,
)
from ledger_assets.storage.incidents import (
    Noted,
    advance_source,
    hold_source,
    noted_before,
    open_incidents,
    report_incident,
    resolve,
)

TICKS_BACK: Final = 3_600
"""Seconds. A tick is numbered when it begins and fails when it ends."""


def note_ticks(connection: psycopg.Connection, instance: DagsterInstance, *, performed_by: str) -> Noted:
    """Look at the ticks of all sensors and schedules: those that failed, and those that work again.

    Nobody else sees that a sensor fails: its ticks only stand in the UI.
    """
    read_to, since = hold_source(connection, "ticks")
    now, fresh, opened, resolved = int(time.time()), 0, 0, 0
    failing = {incident["subject"]: incident for incident in open_incidents(connection, ["SENSOR_FAILED"])}
    after = max(read_to - TICKS_BACK, since.timestamp())
    for state in instance.all_instigator_state():
        name, identity = state.instigator_name, (state.instigator_origin_id, state.selector_id)
        failed = instance.get_ticks(*identity, after=after, limit=AT_MOST, statuses=[TickStatus.FAILURE])
        known = noted_before(connection, {f"tick:{tick.tick_id}" for tick in failed})
        for tick in sorted(failed, key=lambda tick: tick.timestamp):
            if f"tick:{tick.tick_id}" in known:
                continue
            report_incident(
                connection,
                kind="SENSOR_FAILED",
                subject=name,
                title=f"{name} failed",
                actual=first_words(tick.error),
                run_id=None,
                occurrence=f"tick:{tick.tick_id}",
                happened_at=moment(tick.timestamp),
                performed_by=performed_by,
            )
            fresh, opened = fresh + 1, opened + 1
            failing[name] = {"last_seen_at": moment(tick.timestamp)}
        if name in failing:
            resolved += len(_end_by_tick(connection, instance, name, identity, failing[name], performed_by))
    advance_source(connection, "ticks", now)
    return Noted(fresh, opened, resolved)


def _end_by_tick(
    connection: psycopg.Connection,
    instance: DagsterInstance,
    name: str,
    identity: tuple[str, str],
    incident: Mapping[str, Any],
    performed_by: str,
) -> list[int]:
    last_failure: datetime = incident["last_seen_at"]
    works = [TickStatus.SUCCESS, TickStatus.SKIPPED]
    later = instance.get_ticks(*identity, after=last_failure.timestamp(), limit=1, statuses=works)
    if not later:
        return []
    at = moment(later[0].timestamp)
    return resolve(
        connection, kinds=["SENSOR_FAILED"], subject=name, before=at, reason="it works again", performed_by=performed_by
    )
