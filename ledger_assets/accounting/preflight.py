"""What has to hold before anything is staged (A2): prerequisites, announced totals, and a server that can take it.

Here: what is enough, and what to do when it is not. Not here: looking (storage/preflight), and the rules on months,
which PostgreSQL decides (control.preflight_failures); prerequisites and announced totals are decided there as well, and
here only shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ledger_assets.accounting.verdicts import Comparison, Verdict, conclude

PREFLIGHT_CHECKS: Final[Mapping[str, str]] = {
    "prerequisites_complete": "What other systems reported of the month is complete; nothing obligatory is missing.",
    "announced_totals_arrived": "Of every type that the source announced, exactly that many rows and that amount are "
    "loaded.",
    "free_connections": "The server has connections free for all that read and write at once.",
    "disk_space": "The server's disk has room for the entries of the rows that wait.",
    "write_probe": "The server writes, and confirms what it wrote in time.",
}
"""The pre-flight checks on txn_source, in the order in which people are told. The one list of them."""

BYTES_PER_TRANSACTION: Final = 1_000
"""On disk when staged: an entry of eight lines and its keys take 730 (`bench --json`, disk); the rest is reserve."""

LEAST_FREE: Final = 64 << 20
"""Bytes that stay free: the write-ahead log, the control tables, the report."""

SLOWEST_WRITE: Final = 10_000
"""Milliseconds. A healthy disk needs less than 50; one that takes ten seconds for 8 kB finishes no close tonight."""


@dataclass(frozen=True)
class Connections:
    """How many connections the server, the database and the login allow, and have now. A limit of None is none."""

    limits: Mapping[str, tuple[int | None, int]]

    @property
    def free(self) -> int:
        """What the tightest of the limits leaves."""
        return min(limit - used for limit, used in self.limits.values() if limit is not None)


def prerequisites_complete(prerequisites: Sequence[Mapping[str, Any]], failure: tuple[str, str] | None) -> Verdict:
    """What PostgreSQL says of the month's prerequisites; `failure` is its problem and fix, None when it has none."""
    lines = [
        Comparison(
            row["prerequisite"],
            "COMPLETE" if row["required"] or row["reported_at"] else "COMPLETE, if it is reported",
            row["status"],
            "",
            passed=not row["blocks"],
        )
        for row in prerequisites
    ]
    waiting = sum(not line.passed for line in lines)
    return _as_decided("prerequisites_complete", lines, failure, waiting, "nothing that was reported is unfinished")


def announced_totals_arrived(totals: Sequence[Mapping[str, Any]], failure: tuple[str, str] | None) -> Verdict:
    """What PostgreSQL says of the announced totals, beside the accepted rows that are loaded."""
    lines = [
        Comparison(
            row["txn_type"],
            f"{row['announced_rows']:,} rows of {row['announced_gross']:,}",
            f"{row['loaded_rows']:,} rows of {row['loaded_gross']:,}",
            f"{row['difference_rows']:+,} rows, {row['difference_gross']:+,}",
            passed=bool(row["agrees"]),
        )
        for row in totals
    ]
    good = "the announced totals are loaded" if lines else "no totals were announced"
    return _as_decided("announced_totals_arrived", lines, failure, sum(not line.passed for line in lines), good)


def _as_decided(
    gate: str, lines: Sequence[Comparison], failure: tuple[str, str] | None, waiting: int, good: str
) -> Verdict:
    problem, fix = failure or ("", "")
    found = (
        f"{waiting:,} of {len(lines):,}" if waiting else "those of an earlier month"
    )  # whose late rows would be booked
    return Verdict(
        gate,
        passed=failure is None,
        expected="none in the way",
        actual=found if failure else "none in the way",
        difference="",
        detail=f"{problem}. Fix: {fix}" if failure else good,
        comparisons=tuple(lines),
    )


def free_connections(connections: Connections, needed: int) -> Verdict:
    """Enough connections are left for a close: its readers, its writers, and those that watch over them."""
    lines = [
        Comparison(
            f"free by the limit of the {of}", f"{needed:,}", f"{limit - used:,}", "", passed=limit - used >= needed
        )
        for of, (limit, used) in connections.limits.items()
        if limit is not None
    ]
    summary = Comparison(
        "free connections", f"{needed:,}", f"{connections.free:,}", "", passed=connections.free >= needed
    )
    return conclude(
        "free_connections",
        lines,
        summary=summary,
        good=f"{connections.free:,} connections are free, {needed:,} are needed",
        bad="too few connections are free. Fix: end programs that are connected (sql/monitoring/database_activity.sql "
        "names them), or raise max_connections, then close again",
    )


def disk_space(rows_waiting: int, free: int | None, where: str, *, rows_staged: int = 0) -> Verdict:
    """Room for the entries of the rows that wait, as far as they are not staged already.

    Args:
        rows_waiting: transactions that are to be journaled.
        rows_staged: how many of them a batch that was begun has staged. Their entries take their room already: they are
            kept, or dropped before they are written once more.
        free: bytes; None for a server whose disk cannot be seen from here, which passes and says so.
        where: the disk, as people know it.
    """
    left = max(0, rows_waiting - rows_staged)
    needed = left * BYTES_PER_TRANSACTION + LEAST_FREE
    what = f"{left:,} transactions" + (f" of {rows_waiting:,}, the others are staged already," if rows_staged else "")
    about = f"{what} take about {_mebibytes(needed)}"
    if free is None:
        detail = f"{about}; how much {where} has free cannot be seen from here: let its administrator watch it"
        return Verdict(
            "disk_space",
            passed=True,
            expected=_mebibytes(needed),
            actual="not known",
            difference="",
            detail=detail,
            comparisons=(),
        )
    line = Comparison(f"free in {where}", _mebibytes(needed), _mebibytes(free), "", passed=free >= needed)
    return conclude(
        "disk_space",
        [line],
        summary=line,
        good=f"{about}; {_mebibytes(free)} are free",
        bad=f"{about}, and less is free. Fix: free space in {where}, then close again; nothing was staged",
    )


def write_probe(milliseconds: int | None, refusal: str = "") -> Verdict:
    """A small write and its confirmation from the disk.

    Args:
        milliseconds: how long it took; None when the server refused it.
        refusal: the server's words then.
    """
    expected = f"at most {SLOWEST_WRITE:,} ms"
    if milliseconds is None:
        detail = (
            f"the server takes no writes: {refusal}. Fix: give it space, or connect to the server that is not a "
            "read-only copy, then close again"
        )
        return Verdict(
            "write_probe",
            passed=False,
            expected=expected,
            actual="refused",
            difference="",
            detail=detail,
            comparisons=(),
        )
    line = Comparison("write and commit", expected, f"{milliseconds:,} ms", "", passed=milliseconds <= SLOWEST_WRITE)
    return conclude(
        "write_probe",
        [line],
        summary=line,
        good=f"8 kB written and confirmed in {milliseconds:,} ms",
        bad="the disk is too slow for a close. Fix: find out what else writes to the server's disk, then close again",
    )


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
