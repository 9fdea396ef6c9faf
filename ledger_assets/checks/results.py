"""A verdict becomes an asset check result: the one place, for all checks.

What a check declares (`AssetCheckSpec`) and what it reports come from the same names, so that it cannot report what
it never declared, and a check that reports nothing fails its step (no `can_subset`).
"""

import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    PartitionsDefinition,
    PreviewWarning,
    get_dagster_logger,
)

from ledger_assets.accounting.verdicts import Verdict
from ledger_assets.metadata import table


def blocking_specs(
    asset: str, checks: Mapping[str, str], partitions_def: PartitionsDefinition[str] | None = None
) -> list[AssetCheckSpec]:
    """A blocking spec for each `name: description`; what stands downstream of the asset waits for all of them."""
    with warnings.catch_warnings():
        # Without it the last month would own the status of every month's check (dagster 1.13.27).
        warnings.filterwarnings(
            "ignore", message="Specifying a partitions_def on an AssetCheckSpec", category=PreviewWarning
        )
        return [
            AssetCheckSpec(name, asset=asset, description=description, blocking=True, partitions_def=partitions_def)
            for name, description in checks.items()
        ]


def warning_spec(asset: str, name: str, description: str) -> AssetCheckSpec:
    """The spec of a check that people are told of and that stops nothing: its results have the severity WARN."""
    return AssetCheckSpec(name, asset=asset, description=description)


def result(
    asset: str,
    verdict: Verdict,
    offending: Sequence[Mapping[str, Any]] = (),
    *,
    subject: str = "",
    severity: AssetCheckSeverity = AssetCheckSeverity.ERROR,
) -> AssetCheckResult:
    """Expected, actual and difference, every comparison as a table, and the first rows that broke the check.

    A check that fails says so in the run's log as well, with what to do: the event list of the run has its figures, but
    shows its description nowhere (dagster 1.13.27).
    """
    if not verdict.passed:
        level = logging.ERROR if severity == AssetCheckSeverity.ERROR else logging.WARNING
        get_dagster_logger().log(level, "%s: %s", verdict.gate, verdict.detail)
    return AssetCheckResult(
        asset_key=AssetKey(asset),
        check_name=verdict.gate,
        passed=verdict.passed,
        severity=severity,
        description=verdict.detail,
        metadata={
            **({"subject": subject} if subject else {}),
            "expected": verdict.expected,
            "actual": verdict.actual,
            "difference": verdict.difference,
            "comparisons": table([asdict(line) for line in _failing_first(verdict)]),
            **({"first_offending_rows": table(offending)} if offending else {}),
        },
    )


def nothing_to_check(asset: str, names: Iterable[str], why: str) -> list[AssetCheckResult]:
    """Every check passes because there is nothing that it could refuse; it says so."""
    return [
        AssetCheckResult(
            asset_key=AssetKey(asset), check_name=name, passed=True, description=why, metadata={"note": why}
        )
        for name in names
    ]


def _failing_first(verdict: Verdict) -> list[Any]:
    return sorted(verdict.comparisons, key=lambda line: line.passed)
