"""Jobs of one op that people launch beside the close: rehearse a month, do a failed worker again.

Here: what the run shows. Not here: what is done (`rehearsal.py`, `storage/workers.py`).
"""

from dataclasses import asdict
from typing import Any

from dagster import Config, Failure, MetadataValue, OpExecutionContext, job, op
from pydantic import Field

from ledger_assets.automation.refusals import refusals_told
from ledger_assets.close_result import CloseResult
from ledger_assets.metadata import table
from ledger_assets.periods import MONTHS
from ledger_assets.rehearsal import rehearse
from ledger_assets.resources import LedgerResource
from ledger_assets.storage.batches import BatchStateError, Overtaken
from ledger_assets.storage.workers import RulesChanged
from ledger_assets.storage.workers import restart_worker as restart

OPERATOR = "batch_operator"
RECOMMENDATION = "recommendation"
"""Metadata key of what a rehearsal says, also of its failure when it says DO NOT PROCEED."""


@op
def rehearse_the_close(context: OpExecutionContext, ledger: LedgerResource) -> None:
    """Stage the month and run its gates on the real data, take the staged rows away again, and write the report."""
    from ledger_assets.reporting.dry_run import write  # noqa: PLC0415 (jinja2, which most processes never need)

    settings = ledger.the_settings
    with refusals_told(Overtaken):  # or workers failed
        result = rehearse(settings, context.partition_key, performed_by=ledger.actor, url=ledger.database_url)
    path = write(settings.home, result)
    metadata = _rehearsed(result) | {"report": MetadataValue.path(path)}
    if result.exit_code:
        raise Failure("; ".join(result.problems), metadata=metadata, allow_retries=False)
    context.add_output_metadata(metadata)
    context.log.info("%s: %s", context.partition_key, (result.dry_run or {})["recommendation"])


def _rehearsed(result: CloseResult) -> dict[str, Any]:
    run = result.dry_run or {}
    figures = ("measured_seconds", "projected_seconds", "transactions", "transactions_per_second", "throughput")
    return {
        RECOMMENDATION: run["recommendation"],
        "reasons": "; ".join(run["reasons"]) or "none",
        **({"warnings": "; ".join(result.warnings)} if result.warnings else {}),
        **{name: "not measured" if run[name] is None else run[name] for name in figures},
        "steps": table(run["steps"]),
        "gates": table([{name: value for name, value in gate.items() if name != "offending"} for gate in result.gates]),
        "exceptions": table(run["exceptions"]),
    }


@job(
    partitions_def=MONTHS,
    description="Rehearse the close of a month: stage, gates, a projection and a recommendation; nothing is posted. "
    "In the Launchpad, choose the month as Partition. The run fails where the close would.",
)
def month_close_rehearsal() -> None:
    """One op: the dry run."""
    rehearse_the_close()


class Worker(Config):
    """Which worker of which batch."""

    batch_id: str = Field(description="The batch, for example 2024-01-MONTHEND; ledger-assets status 2024-01 names it.")
    worker: int = Field(
        description="Its worker that FAILED, for example 3; ledger-assets status 2024-01 --watch lists them."
    )


@op
def do_worker_again(context: OpExecutionContext, config: Worker, ledger: LedgerResource) -> None:
    """Do one worker again whose staging failed; the completed ones are kept."""
    with refusals_told(BatchStateError, RulesChanged):  # nothing was done; the failed worker has its own incident
        done = restart(
            ledger.database_url,
            config.batch_id,
            config.worker,
            restarted_by=ledger.url_as(OPERATOR),
            rule_set=ledger.the_rule_set,
            performed_by=ledger.actor,
        )
    context.log.info("worker %s of %s has completed; %s", config.worker, config.batch_id, done.what_next)
    context.add_output_metadata(
        {"state": done.batch.state, "what_next": done.what_next, **_counted(asdict(done.staged))}
    )


def _counted(staged: dict[str, Any]) -> dict[str, int]:
    return {name: staged[name] for name in ("transactions", "entries", "lines", "workers", "workers_kept")}


@job(
    description="Do one worker of a batch again whose staging failed; then close the month. In the Launchpad, "
    "Scaffold missing config asks for the batch and the worker."
)
def restart_worker() -> None:
    """One op: the worker."""
    do_worker_again()
