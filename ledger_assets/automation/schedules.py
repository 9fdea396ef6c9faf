"""What happens by the clock."""

from dagster import DefaultScheduleStatus, Failure, OpExecutionContext, ScheduleDefinition, job, op

from ledger_assets.metadata import report_metadata
from ledger_assets.resources import LedgerResource
from ledger_assets.storage.proving import prove


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
