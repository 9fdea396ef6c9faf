"""The dry run: stage and gate a month on its real data, post nothing, take the staged rows away again (A10).

The same code as the assets', without Dagster's: a rehearsal leaves no materialization behind, only the record of its
batch (`2025-01-DRYRUN`, ABORTED), its verdicts and its rows of the audit trail. docs/dry-run.md has the list.

It does not take in the inbox, which would leave a trace; it says which files a close would take in.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeVar

import psycopg

from ledger_assets.accounting import dry_run, waiting_rules
from ledger_assets.accounting.errors import RuleError
from ledger_assets.close_result import CloseResult, Outcome
from ledger_assets.settings import Settings
from ledger_assets.storage.batches import Batch, PreflightFailed, end_dry_run, open_batch
from ledger_assets.storage.batches import batch as read_batch
from ledger_assets.storage.database import in_transaction, ledger_url
from ledger_assets.storage.inbox import not_taken_in
from ledger_assets.storage.preflight import data_directory, preflight
from ledger_assets.storage.reading import rows
from ledger_assets.storage.rules import StoredRules, store_directory, usable
from ledger_assets.storage.rules import waiting as waiting_version
from ledger_assets.storage.staging import Staged, claimed, stage
from ledger_assets.storage.validation import GateResult, validate
from ledger_assets.storage.workers import slow_workers

T = TypeVar("T")


@dataclass
class _Timed:
    """The seconds of each step."""

    seconds: dict[str, Decimal] = field(default_factory=dict)

    def __call__(self, step: str, work: Callable[[], T]) -> T:
        started = time.perf_counter()
        try:
            return work()
        finally:
            self.seconds[step] = Decimal(round((time.perf_counter() - started) * 1000)) / 1000


def rehearse(settings: Settings, period: str, *, performed_by: str, url: str | None = None) -> CloseResult:
    """Everything up to the gates. Never raises for bad data or a refused period: the result says so.

    `dry_run` of the result has what was measured, what is projected, and the recommendation. `url` is another database
    than that of the settings.
    """
    started = time.perf_counter()
    data = data_directory(settings, url or "")
    url = url or ledger_url(settings)
    timed = _Timed()

    def open_dry_run(connection: psycopg.Connection) -> tuple[StoredRules, Batch | None]:
        store_directory(connection, settings.rules)
        rules = usable(connection, settings.rule_set)
        return rules, open_batch(
            connection,
            period=period,
            kind="DRYRUN",
            rule_set=rules.rule_set.name,
            rule_version=rules.rule_set.version,
            first_period=settings.first_period,
            performed_by=performed_by,
        )

    waiting = in_transaction(url, lambda connection: not_taken_in(connection, settings, period))
    looked_at = timed(
        "pre-flight", lambda: preflight(url, period, data=data, performed_by=performed_by, rehearsal=True)
    )
    if not_ready := [f"{verdict.gate}: {verdict.detail}" for verdict in looked_at if not verdict.passed]:
        return _not_started(period, started, not_ready, waiting)
    try:
        rules, batch = timed("rules and plan", lambda: in_transaction(url, open_dry_run))
    except (PreflightFailed, RuleError) as refusal:
        return _not_started(period, started, [str(refusal)], waiting)
    if batch is None:
        raise AssertionError("a dry run always opens a batch")
    with claimed(url, batch):
        try:
            staged = timed("staging", lambda: stage(url, batch, rules.compiled(), performed_by=performed_by))
            gates = timed("gates", lambda: validate(url, batch, performed_by=performed_by))
            seen = in_transaction(url, lambda connection: _seen(connection, batch))
        finally:
            in_transaction(url, lambda connection: _clean_up(connection, batch, performed_by))
    newer = in_transaction(url, lambda connection: waiting_version(connection, rules.rule_set.name, period))
    told = waiting_rules.verdict(rules.rule_set.name, newer)
    result = _result(period, batch, staged, gates, started, timed.seconds, seen | {"not_rehearsed": waiting})
    return result if told.passed else replace(result, warnings=[f"{told.gate}: {told.detail}"])


def _not_started(period: str, started: float, problems: list[str], waiting: list[str]) -> CloseResult:
    told = {"exceptions": [], "workers": 0, "slow_workers": [], "not_rehearsed": waiting}
    return CloseResult.of(
        period, Outcome.PREFLIGHT_FAILED, started, problems=problems, dry_run=_judged({}, 0, problems) | told
    )


def _seen(connection: psycopg.Connection, batch: Batch) -> dict[str, Any]:
    """What is taken away with the staged rows."""
    return {
        "exceptions": rows(connection, "control/exceptions_by_reason", batch_id=batch.batch_id),
        "workers": len(rows(connection, "control/workers", batch_id=batch.batch_id)),
        "slow_workers": [str(worker) for worker in slow_workers(connection, batch.batch_id)],
    }


def _clean_up(connection: psycopg.Connection, batch: Batch, performed_by: str) -> None:
    now = read_batch(connection, batch.batch_id)
    if now.state == "ABORTED" or now.attempt != batch.attempt:
        return  # by a try whose confirmation got lost; or another dry run has taken over, and does it
    end_dry_run(connection, batch, performed_by=performed_by)


def _judged(steps: dict[str, Decimal], transactions: int, obstacles: list[str]) -> dict[str, Any]:
    """The judgement as JSON and the report have it; seconds as numbers, the limits beside what they limit."""
    judgement = dry_run.judge(steps, transactions, obstacles)
    figures = {name: float(value) if isinstance(value, Decimal) else value for name, value in asdict(judgement).items()}
    return figures | {
        "recommendation": judgement.recommendation.value,
        "reasons": list(judgement.reasons),
        "throughput": judgement.throughput.value,
        "steps": [{"step": step, "seconds": float(seconds)} for step, seconds in steps.items()],
        "target_seconds": int(dry_run.TARGET_SECONDS),
        "window_seconds": int(dry_run.WINDOW_SECONDS),
        "slow_from_seconds": int(dry_run.SLOW_FROM_SECONDS),
        "target_transactions_per_second": dry_run.TRANSACTIONS_PER_SECOND,
        "throughput_judged_from": dry_run.JUDGED_FROM,
    }


def _result(
    period: str,
    batch: Batch,
    staged: Staged,
    gates: list[GateResult],
    started: float,
    steps: dict[str, Decimal],
    seen: dict[str, Any],
) -> CloseResult:
    failed = [gate.verdict for gate in gates if not gate.verdict.passed]
    problems = [f"{verdict.gate}: {verdict.detail}" for verdict in failed]
    return CloseResult.of(
        period,
        Outcome.GATE_FAILED if failed else Outcome.REHEARSED,
        started,
        batch_id=batch.batch_id,
        entries=staged.entries,
        lines=staged.lines,
        gates=[
            {
                "asset": "staged_journal_entries",
                "gate": gate.verdict.gate,
                "passed": gate.verdict.passed,
                "expected": gate.verdict.expected,
                "actual": gate.verdict.actual,
                "difference": gate.verdict.difference,
                "detail": gate.verdict.detail,
                "offending": list(gate.offending),
            }
            for gate in gates
        ],
        problems=problems,
        dry_run=_judged(steps, staged.transactions, problems) | seen,
    )
