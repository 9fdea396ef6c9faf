"""What becomes of a close, as the command line reports it: part of the face that does not change."""

import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self


class Outcome(StrEnum):
    """How a close ended."""

    POSTED = "posted"
    NOTHING_NEW = "nothing_new"
    REHEARSED = "rehearsed"
    GATE_FAILED = "gate_failed"
    PREFLIGHT_FAILED = "preflight_failed"
    NOT_CERTIFIED = "not_certified"
    FAILED = "failed"

    @property
    def exit_code(self) -> int:
        """0 posted or nothing to do, 2 a gate failed or no certificate, 3 pre-flight failed, 1 anything else."""
        return {Outcome.GATE_FAILED: 2, Outcome.NOT_CERTIFIED: 2, Outcome.PREFLIGHT_FAILED: 3, Outcome.FAILED: 1}.get(
            self, 0
        )


@dataclass(frozen=True)
class CloseResult:
    """A close, ready to be printed as JSON.

    `gates` has the checks that can stop a close. `problems` says in sentences what they say in figures, and what else
    went wrong; `warnings` what somebody has to know although it stopped nothing. `late` has the late
    transactions that the batch booked, by original month; `changes` what this close changed against the last one of
    the month, by account. `resumed` says what was kept of an attempt before; `dry_run` has the judgement of a dry run
    (`accounting/dry_run.py`), and is None for a close.
    """

    period: str
    outcome: Outcome
    exit_code: int
    seconds: float
    run_id: str | None = None
    batch_id: str | None = None
    state: str | None = None
    entries: int = 0
    lines: int = 0
    gates: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    late: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    resumed: str | None = None
    dry_run: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, period: str, outcome: Outcome, started: float, **details: Any) -> Self:
        """A result of now; `started` is the `time.perf_counter()` of the beginning."""
        return cls(period, outcome, outcome.exit_code, round(time.perf_counter() - started, 2), **details)
