"""What happens by the clock."""

from datetime import UTC

from dagster import (
    DefaultScheduleStatus,
    Failure,
    OpExecutionContext,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    job,
    op,
    schedule,
)

from ledger_assets.automation.jobs import month_close
from ledger_assets.automation.sensors import run_in_progress
from ledger_assets.metadata import report_metadata
from ledger_assets.resources import LedgerResource
from ledger_assets.storage.proving import prove
from ledger_assets.storage.reading import rows


@op
def prove_the_ledger(context: OpExecutionContext, ledger: LedgerResource) -> None:
    """Read every row of every month again and compare it with the seals; then the audit trail and the certificates."""
    settings = ledger.settings
    report = prove(ledger.database_url, settings.home, performed_by=ledger.actor, archive=settings.archive)
    metadata = report_metadata(report)
    if report.exit_code:
        raise Failure(report.summary, metadata=metadata, allow_retries=False)
    context.add_output_metadata(metadata)
    context.log.info(report.summary)


@job(description="Prove that the ledger is what was posted: every row, seal and certificate, and the audit trail.")
def verify_ledger() -> None:
    """One op: the verification."""
    prove_the_ledger()


verify_daily = ScheduleDefinition(
    name="verify_daily",
    job=verify_ledger,
    cron_schedule="0 3 * * *",
    default_status=DefaultScheduleStatus.RUNNING,
    description="At 03:00, when nobody closes.",
)


@schedule(
    name="month_close_on_last_day",
    job=month_close,
    cron_schedule="0 23 L * *",
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.STOPPED,
    description="The alternative to the sensor start_month_close, off until it is switched on: closes the month on its "
    "last day at 23:00 (UTC), if the month before is closed. What is reported and announced holds it up as it does "
    "every close.",
)
def month_close_on_last_day(context: ScheduleEvaluationContext, ledger: LedgerResource) -> RunRequest | SkipReason:
    """The month of the tick, and no other: an earlier one that is open is for people to close."""
    period = context.scheduled_execution_time.astimezone(UTC).strftime("%Y-%m")
    (month,) = ledger.in_transaction(
        lambda connection: rows(
            connection, "control/months_before_closing", period=period, first_period=ledger.the_first_period
        )
    )
    if month["is_closed"]:
        return SkipReason(f"{period} is closed")
    if not month["may_start"]:
        return SkipReason(f"{period} waits for {month['predecessor']}, which is not closed: close that month first")
    if run := run_in_progress(context.instance, period):
        return SkipReason(f"{period} is being closed by run {run.run_id[:8]}")
    return RunRequest(run_key=period, partition_key=period)
