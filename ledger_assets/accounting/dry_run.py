"""What a dry run says of the close to come (A10): projected time, throughput, and whether to proceed.

Pure: measured seconds, counts and verdicts in, a judgement out. Seconds are decimals, so that a limit is a limit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from ledger_assets.accounting.progress import duration

TARGET_SECONDS: Final = Decimal(20 * 60)
"""A close is meant to take no longer."""
WINDOW_SECONDS: Final = Decimal(120 * 60)
"""A close may take no longer: the night has no more."""
SLOW_FROM_SECONDS: Final = Decimal(90 * 60)
"""A close that is projected to take longer is worth a warning."""
MARGIN: Final = Decimal("1.10")
"""The projection: what was measured, and a tenth for posting, balances, certificate and report."""
TRANSACTIONS_PER_SECOND: Final = 5_556
"""Ten million transactions in half an hour."""
LEAST_SECONDS_OF_WORK: Final = 10
JUDGED_FROM: Final = TRANSACTIONS_PER_SECOND * LEAST_SECONDS_OF_WORK
"""Throughput of fewer transactions is shown and not judged: connections and plans take longer than their rows."""


class Recommendation(StrEnum):
    """What whoever rehearsed should do."""

    DO_NOT_PROCEED = "DO NOT PROCEED"
    WARNING = "WARNING"
    PROCEED = "PROCEED"


class Throughput(StrEnum):
    """How the pace compares with the target."""

    MET = "met"
    MISSED = "missed"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Judgement:
    """The recommendation with its reasons, and the figures behind it. Times of a dry run that never began are None."""

    recommendation: Recommendation
    reasons: tuple[str, ...]
    measured_seconds: Decimal | None
    projected_seconds: Decimal | None
    meets_target: bool | None
    fits_window: bool | None
    transactions: int
    transactions_per_second: int | None
    throughput: Throughput


def judge(steps: Mapping[str, Decimal], transactions: int, obstacles: Sequence[str]) -> Judgement:
    """Judge a dry run.

    DO NOT PROCEED: a gate or pre-flight failed. WARNING: the projection is over 90 minutes, or the throughput is under
    5,556 transactions a second. PROCEED: neither.

    Args:
        steps: seconds of each step that was rehearsed; empty when pre-flight refused the month.
        transactions: how many were staged.
        obstacles: a sentence for each gate and each part of pre-flight that failed.
    """
    measured = sum(steps.values(), Decimal(0)) if steps else None
    projected = None if measured is None else measured * MARGIN
    throughput = _throughput(measured, transactions)
    warnings = []
    if projected is not None and projected > SLOW_FROM_SECONDS:
        fits = "" if projected <= WINDOW_SECONDS else f", over the window of {duration(float(WINDOW_SECONDS))}"
        warnings.append(
            f"slow: {duration(float(projected))} are projected, over {duration(float(SLOW_FROM_SECONDS))}{fits}"
        )
    pace = _pace(measured, transactions)
    if throughput is Throughput.MISSED:
        warnings.append(f"slow: {pace:,} transactions a second, under {TRANSACTIONS_PER_SECOND:,}")
    recommendation = Recommendation.PROCEED
    if obstacles:
        recommendation = Recommendation.DO_NOT_PROCEED
    elif warnings:
        recommendation = Recommendation.WARNING
    return Judgement(
        recommendation,
        (*obstacles, *warnings),
        measured,
        projected,
        None if projected is None else projected <= TARGET_SECONDS,
        None if projected is None else projected <= WINDOW_SECONDS,
        transactions,
        pace,
        throughput,
    )


def _pace(measured: Decimal | None, transactions: int) -> int | None:
    """Whole transactions a second, rounded down: what is under the target does not look as if it were met."""
    return int(transactions / measured) if measured else None


def _throughput(measured: Decimal | None, transactions: int) -> Throughput:
    if measured is None or transactions < JUDGED_FROM:
        return Throughput.NOT_JUDGED
    return Throughput.MET if transactions >= TRANSACTIONS_PER_SECOND * measured else Throughput.MISSED
