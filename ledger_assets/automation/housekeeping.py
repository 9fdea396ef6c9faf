"""Housekeeping by the clock, or by hand (B7): partitions, statistics, archives.

Thin: what may go is decided in PostgreSQL, how it goes in `storage/archiving`. The schedules that drop rows (after
proving their files) are STOPPED until somebody switches them on knowingly; for them Dagster's login needs batch_admin.
"""

from dataclasses import asdict
from typing import Any

from dagster import Config, DefaultScheduleStatus, Failure, OpExecutionContext, ScheduleDefinition, job, op
from pydantic import Field

from ledger_assets.automation.refusals import refusals_told
from ledger_assets.metadata import table
from ledger_assets.resources import LedgerResource
from ledger_assets.storage import housekeeping
from ledger_assets.storage.archives import ACTIVE_MONTHS, Layer


class RotationConfig(Config):
    """How far ahead."""

    ahead: int = Field(default=housekeeping.AHEAD, description="Months after the open one.")
    dry_run: bool = Field(default=False, description="Say what would be made, and make nothing.")


class ArchiveConfig(Config):
    """What goes. The Launchpad shows these defaults: who launches it without reading them drops nothing."""

    period: str = Field(default="", description="One month, for example 2024-01; empty = every month that is due.")
    early: bool = Field(default=False, description="With a month: although it is still active.")
    dry_run: bool = Field(
        default=True, description="true: say what would go, and leave it. false: take it. The schedules say false."
    )


class RestoreConfig(Config):
    """What comes back."""

    period: str = Field(description="The month, for example 2024-01.")
    source: bool = Field(default=True, description="The transactions of its loads.")
    ledger: bool = Field(default=True, description="Its entries, proven against their seals.")


# ------------------------------------------------------------------------------------------------ harmless


@op
def make_partitions(context: OpExecutionContext, config: RotationConfig, ledger: LedgerResource) -> None:
    """The month partitions of source and ledger, for the open month and some after it."""
    done = housekeeping.rotate(
        ledger.database_url, ahead=config.ahead, performed_by=ledger.actor, dry_run=config.dry_run
    )
    context.add_output_metadata({name: str(value) for name, value in asdict(done).items()})


@job(description="Make the month partitions of source and ledger ahead of time. Locks nobody out; safe to repeat.")
def rotate_partitions() -> None:
    """One op."""
    make_partitions()


@op
def analyze(context: OpExecutionContext, ledger: LedgerResource) -> None:
    """Statistics of the control tables, and of posted leaves that have none."""
    context.add_output_metadata({"workers_prepared": housekeeping.refresh_statistics(ledger.database_url)})


@job(description="Keep the planner's statistics fresh: control tables, and posted rows that have none yet.")
def refresh_statistics() -> None:
    """One op."""
    analyze()


# ------------------------------------------------------------------------------------------------ what drops rows


def _archive(context: OpExecutionContext, config: ArchiveConfig, ledger: LedgerResource, layer: Layer) -> None:
    from ledger_assets.storage.archiving import archive_month  # noqa: PLC0415 (definitions.py does without it)

    if config.early and not config.period:
        raise Failure("early is for one month. Fix: name it in period, for example 2024-01", allow_retries=False)
    place, months = ledger.archive_place, 0 if config.early else ACTIVE_MONTHS[layer]
    if config.period:
        with refusals_told():
            month = archive_month(
                place, config.period, layer, active_months=months, performed_by=ledger.actor, dry_run=config.dry_run
            )
        done = housekeeping.ArchivedMonths([month])
    else:
        done = housekeeping.archive_due(place, [layer], performed_by=ledger.actor, dry_run=config.dry_run)
    outcome = "would_be_archived" if config.dry_run else "archived"
    metadata: dict[str, Any] = {outcome: table([asdict(month) for month in done.months])}
    if done.problems:
        raise Failure("; ".join(done.problems), metadata=metadata, allow_retries=False)
    context.add_output_metadata(metadata)


@op
def take_source_to_archive(context: OpExecutionContext, config: ArchiveConfig, ledger: LedgerResource) -> None:
    """Transactions of months that are no longer active: to files, measured from there, dropped."""
    _archive(context, config, ledger, "SOURCE")


_LAUNCHED = " Launched by hand it only says what would go, until dry_run is set to false in the Launchpad."


@job(
    description="Take transactions that are older than the three newest closed months to proven Parquet files."
    + _LAUNCHED
)
def archive_source() -> None:
    """One op."""
    take_source_to_archive()


@op
def take_ledger_to_archive(context: OpExecutionContext, config: ArchiveConfig, ledger: LedgerResource) -> None:
    """Entries of months that are no longer active: to files, proven against the seals from there, dropped."""
    _archive(context, config, ledger, "LEDGER")


@job(
    description="Take entries that are older than the twelve newest closed months to Parquet files, proven by seals."
    + _LAUNCHED
)
def archive_ledger() -> None:
    """One op."""
    take_ledger_to_archive()


@op
def bring_back(context: OpExecutionContext, config: RestoreConfig, ledger: LedgerResource) -> None:
    """An archived month back into the database, proven."""
    from ledger_assets.storage.archiving import restore_month  # noqa: PLC0415 (likewise)

    wanted = {"SOURCE": config.source, "LEDGER": config.ledger}
    layers: list[Layer] = [layer for layer in ACTIVE_MONTHS if wanted[layer]]
    with refusals_told():
        restored, report = restore_month(ledger.archive_place, config.period, layers, performed_by=ledger.actor)
    metadata = {"restored": table([asdict(one) for one in restored])}
    context.add_output_metadata(metadata | ({"verified": report.summary} if report else {}))


@job(description="Bring an archived month back into the database, and prove it against its seals.")
def restore_month() -> None:
    """One op; the month is its config."""
    bring_back()


# ------------------------------------------------------------------------------------------------ the clock

rotate_daily = ScheduleDefinition(
    name="rotate_daily",
    job=rotate_partitions,
    cron_schedule="0 2 * * *",
    default_status=DefaultScheduleStatus.RUNNING,
    description="At 02:00. It locks nobody out and changes nothing that is there.",
)

refresh_statistics_daily = ScheduleDefinition(
    name="refresh_statistics_daily",
    job=refresh_statistics,
    cron_schedule="30 2 * * *",
    default_status=DefaultScheduleStatus.RUNNING,
    description="At 02:30, before the ledger is verified.",
)

archive_source_monthly = ScheduleDefinition(
    name="archive_source_monthly",
    job=archive_source,
    run_config={"ops": {"take_source_to_archive": {"config": {"dry_run": False}}}},
    cron_schedule="0 4 15 * *",
    default_status=DefaultScheduleStatus.STOPPED,
    description="On the 15th at 04:00. It drops rows once their files are proven: switch it on knowingly.",
)

archive_ledger_monthly = ScheduleDefinition(
    name="archive_ledger_monthly",
    job=archive_ledger,
    run_config={"ops": {"take_ledger_to_archive": {"config": {"dry_run": False}}}},
    cron_schedule="0 5 15 * *",
    default_status=DefaultScheduleStatus.STOPPED,
    description="On the 15th at 05:00. It drops rows once their files are proven: switch it on knowingly.",
)
