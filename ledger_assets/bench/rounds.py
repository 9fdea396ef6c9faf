"""Rounds of the benchmark: each in a scratch database of its own, and the median of them."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from psycopg import sql

from ledger_assets.accounting.rule_files import SHIPPED_RULES
from ledger_assets.bench.alternatives import compare
from ledger_assets.bench.close import MeasuredClose, generated_file, measured_close
from ledger_assets.bench.meter import MEBIBYTE, figures
from ledger_assets.bench.surroundings import surroundings
from ledger_assets.settings import Settings
from ledger_assets.storage.batches import ROWS_PER_WORKER
from ledger_assets.storage.database import ENGINE, as_role, connect, create_database, server_url, with_database
from ledger_assets.storage.migrations import migrate
from ledger_assets.storage.rules import StoredRules, store_directory, usable

RULE_SETS = {2: "three_entries", 8: "combined"}
SOURCE_IS_LOADED = ("stage", "gates", "post", "snapshot")
"""The steps that the ratio is about."""


def run_bench(
    settings: Settings,
    *,
    transactions: int,
    lines: int,
    seed: int = 1,
    repeat: int = 1,
    comparing: bool = False,
    rows_per_worker: int = ROWS_PER_WORKER,
    announce: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Close generated transactions, measure each step, and the bare COPY of the same rows; see docs/benchmark.md.

    Args:
        settings: say which server; the benchmark makes databases of its own on it and drops them.
        transactions: how many source rows.
        lines: 8 (rule set combined, one entry of eight lines) or 2 (three_entries, up to three entries of two lines).
        seed: the same seed gives the same transactions.
        repeat: rounds, each in a fresh database; the figures are their medians.
        comparing: also post the rows of the last round by what a team would otherwise do.
        rows_per_worker: source rows per shard; that of a close.
        announce: is told what begins.
    """
    rounds = []
    compared: list[dict[str, Any]] | None = None
    announce(f"generating {transactions:,} transactions")
    with generated_file(transactions, seed) as file:
        for number in range(1, repeat + 1):
            with _scratch_database(settings) as administrator_url:
                announce(f"round {number} of {repeat}")
                rules = _rules(as_role(administrator_url, ENGINE), RULE_SETS[lines])
                rounds.append(_round(administrator_url, file, rules, transactions, rows_per_worker))
                if comparing and number == repeat:
                    closing_s = sum(rounds[-1]["steps"][step] for step in SOURCE_IS_LOADED)
                    compared = compare(administrator_url, RULE_SETS[lines], transactions, closing_s, announce)
                about = surroundings(administrator_url)
    result: dict[str, Any] = {"rows": transactions, "rule_set": RULE_SETS[lines], "seed": seed, "repeat": repeat}
    result |= middle(rounds)
    result |= {"spread": spread(rounds), "rounds": rounds, "surroundings": about}
    return result if compared is None else result | {"compare": compared}


def _round(
    administrator_url: str, file: Path, rules: StoredRules, transactions: int, rows_per_worker: int
) -> dict[str, Any]:
    close = measured_close(administrator_url, file, rules, rows_per_worker=rows_per_worker)
    costs = close.meter.costs
    seconds = {step: cost.seconds for step, cost in costs.items()}
    total = sum(seconds.values())
    # The better of the two: a pass that met memory which the machine had not used for a while says nothing of a limit.
    bare = min(close.before.writing.seconds, close.after.writing.seconds)
    # Expansion and sealing happen inside staging; sealing in both writers at once, so its seconds are theirs together.
    inside = {"expand": min(close.before.expand_seconds, close.after.expand_seconds), "seal": close.sealing_seconds}
    meter = close.meter
    return {
        "lines": close.lines,
        "entries": close.entries,
        "steps": {step: round(s, 4) for step, s in (seconds | inside).items()},
        "total_s": round(total, 3),
        "bare_copy_s": round(bare, 3),
        "ratio": round(sum(seconds[step] for step in SOURCE_IS_LOADED) / bare, 2),
        "cpu_ratio": _cpu_ratio(close, SOURCE_IS_LOADED, _bare_cpu(close)),
        "bare_load_s": round(close.bare_load.seconds, 3),
        "load_ratio": round(seconds["load"] / close.bare_load.seconds, 2),
        "load_cpu_ratio": _cpu_ratio(close, ["load"], close.bare_load.cpu_seconds),
        **_speeds(close, transactions, total),
        "peak_rss_mb": max(cost.client_peak_bytes for cost in costs.values()) // MEBIBYTE,
        "server_peak_private_mb": _mebibytes(meter.private_peak),
        "server_peak_pss_mb": _mebibytes(meter.proportional_peak),
        "wal_bytes": sum(cost.wal_bytes for cost in costs.values()),
        "disk": close.disk,
        "details": {
            step: figures(cost)
            | {"share_pct": round(100 * cost.seconds / total, 1)}
            | _speeds(close, transactions, cost.seconds)
            for step, cost in costs.items()
        },
        "bare_copy": {
            "before_s": round(close.before.writing.seconds, 3),
            "after_s": round(close.after.writing.seconds, 3),
            "cpu_s": None if (cpu := _bare_cpu(close)) is None else round(cpu, 3),
        },
    }


def _cpu_ratio(close: MeasuredClose, steps: Sequence[str], bare: float | None) -> float | None:
    """As the ratios, of CPU seconds on both sides: what to compare while others use the machine."""
    costs = [close.meter.costs[step] for step in steps]
    servers = [cost.server_cpu_s for cost in costs if cost.server_cpu_s is not None]
    if not bare or len(servers) < len(costs):
        return None
    return round((sum(servers) + sum(cost.client_cpu_s for cost in costs)) / bare, 2)


def _bare_cpu(close: MeasuredClose) -> float | None:
    one, other = close.before.writing.cpu_seconds, close.after.writing.cpu_seconds
    return None if one is None or other is None else min(one, other)


def _mebibytes(size: int | None) -> int | None:
    return None if size is None else size // MEBIBYTE


def _speeds(close: MeasuredClose, transactions: int, seconds: float) -> dict[str, int]:
    return {
        "transactions_per_s": round(transactions / seconds),
        "lines_per_s": round(close.lines / seconds),
        "rows_per_s": round((close.entries + close.lines) / seconds),
    }


def middle(rounds: Sequence[Any]) -> Any:
    """The median of each figure of mappings of the same form; whole numbers stay whole.

    Of anything that is no figure, or is None in one of them, the last.
    """
    last = rounds[-1]
    if isinstance(last, Mapping):
        return {key: middle([one[key] for one in rounds]) for key in last}
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in rounds):
        return last
    found = median(rounds)
    return round(found) if isinstance(last, int) else round(found, 4)


def spread(rounds: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Smallest, middle and largest value over the rounds: of each step's seconds, and of what they come to."""
    series = {step: [one["steps"][step] for one in rounds] for step in rounds[0]["steps"]}
    for name in ("total_s", "bare_copy_s", "ratio", "cpu_ratio", "bare_load_s", "load_ratio", "load_cpu_ratio"):
        series[name] = [one[name] for one in rounds if one[name] is not None]
    return {
        name: {"min": min(values), "median": round(median(values), 4), "max": max(values)}
        for name, values in series.items()
        if values
    }


@contextmanager
def _scratch_database(settings: Settings) -> Iterator[str]:
    """A database of its own, so that a benchmark never meets anybody's books."""
    name = f"ledger_bench_{secrets.token_hex(4)}"
    server = server_url(settings)
    with connect(server, autocommit=True) as connection:
        create_database(connection, name)
    try:
        url = with_database(server, name)
        migrate(url)
        yield url
    finally:
        with connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _rules(url: str, rule_set: str) -> StoredRules:
    with connect(url) as connection:
        store_directory(connection, SHIPPED_RULES)
        return usable(connection, rule_set)
