"""The dry run: stage and gate a month on its real data, post nothing, take the staged rows away again (A10).

The same code as the assets', without Dagster: a rehearsal leaves no materialization behind, only the record of its
batch (`2025-01-DRYRUN`, ABORTED) and its verdicts.
"""

import time

import psycopg

from ledger_assets.accounting.errors import RuleError
from ledger_assets.close_result import CloseResult, Outcome
from ledger_assets.settings import Settings
from ledger_assets.storage.batches import Batch, PreflightFailed, end_dry_run, open_batch
from ledger_assets.storage.batches import batch as read_batch
from ledger_assets.storage.database import in_transaction, ledger_url
from ledger_assets.storage.preflight import data_directory, preflight
from ledger_assets.storage.rules import StoredRules, store_directory, usable
from ledger_assets.storage.staging import Staged, stage
from ledger_assets.storage.validation import GateResult, validate


def rehearse(settings: Settings, period: str, *, performed_by: str) -> CloseResult:
    """Everything up to the gates. Never raises for bad data or a refused period: the result says so."""
    started = time.perf_counter()
    url = ledger_url(settings)

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

    looked_at = preflight(url, period, data=data_directory(settings), performed_by=performed_by)
    if not_ready := [f"{verdict.gate}: {verdict.detail}" for verdict in looked_at if not verdict.passed]:
        return CloseResult.of(period, Outcome.PREFLIGHT_FAILED, started, problems=not_ready)
    try:
        rules, batch = in_transaction(url, open_dry_run)
    except (PreflightFailed, RuleError) as refusal:
        return CloseResult.of(period, Outcome.PREFLIGHT_FAILED, started, problems=[str(refusal)])
    if batch is None:
        raise AssertionError("a dry run always opens a batch")
    try:
        staged = stage(url, batch, rules.compiled(), performed_by=performed_by)
        gates = validate(url, batch, performed_by=performed_by)
    finally:
        in_transaction(url, lambda connection: _clean_up(connection, batch, performed_by))
    return _result(period, batch, staged, gates, started)


def _clean_up(connection: psycopg.Connection, batch: Batch, performed_by: str) -> None:
    if read_batch(connection, batch.batch_id).state == "ABORTED":
        return  # by a try whose confirmation got lost
    end_dry_run(connection, batch, performed_by=performed_by)


def _result(period: str, batch: Batch, staged: Staged, gates: list[GateResult], started: float) -> CloseResult:
    failed = [gate.verdict for gate in gates if not gate.verdict.passed]
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
        problems=[f"{verdict.gate}: {verdict.detail}" for verdict in failed],
    )
