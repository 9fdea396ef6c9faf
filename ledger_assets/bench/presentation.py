"""The benchmark's figures for people."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from rich.markup import escape

from ledger_assets.bench.meter import MEBIBYTE
from ledger_assets.presentation import err, out, print_table


@contextmanager
def announcing() -> Iterator[Callable[[str], None]]:
    """What is being done, beside a spinner on a terminal; silence anywhere else."""
    if not err.is_terminal:
        yield lambda _: None
        return
    with err.status("bench") as status:
        yield lambda text: status.update(escape(text))


def print_bench(result: Mapping[str, Any]) -> None:
    """Steps, limits, memory, disk, and the comparison when there is one; each table with what it means."""
    rounds = "1 round" if result["repeat"] == 1 else f"medians of {result['repeat']} rounds"
    out.print(
        f"{result['rows']:,} transactions became {result['entries']:,} entries with {result['lines']:,} lines "
        f"(rule set {result['rule_set']}, seed {result['seed']}, {rounds})"
    )
    print_table("the close, step by step", [_step(result, step) for step in result["details"]])
    steps = result["steps"]
    out.print(f"within stage: expansion alone {steps['expand']:.3f} s, sealing {steps['seal']:.3f} s")
    _print_ratios(result)
    _print_memory(result)
    print_table("on disk, bytes per row", [_stored(kind, stored) for kind, stored in result["disk"].items()])
    if "compare" in result:
        print_table("what a team would otherwise do", [_alternative(one) for one in result["compare"]])
        out.print(
            "~ means extrapolated: as fast per row with all rows as with those that were posted, which favours it"
        )


def _step(result: Mapping[str, Any], step: str) -> dict[str, Any]:
    detail, spread = result["details"][step], result["spread"][step]
    row = {"step": step, "seconds": _number(detail["seconds"], 3)}
    if result["repeat"] > 1:
        row |= {"min": _number(spread["min"], 3), "max": _number(spread["max"], 3)}
    return row | {
        "share_%": _number(detail["share_pct"], 1),
        "transactions/s": detail["transactions_per_s"],
        "lines/s": detail["lines_per_s"],
        "CPU_s,_client": _number(detail["client_cpu_s"], 2),
        "CPU_s,_server": _number(detail["server_cpu_s"], 2),
        "WAL_MiB": _number(detail["wal_bytes"] / MEBIBYTE, 2),
        "line_pages_read": _number(detail["page_reads"].get("line"), 1),
    }


def _print_ratios(result: Mapping[str, Any]) -> None:
    bare = result["bare_copy"]
    out.print(
        f"all {result['total_s']:.2f} s: {result['transactions_per_s']:,} transactions/s, {result['lines_per_s']:,} "
        f"lines/s, {result['rows_per_s']:,} rows/s (entries and lines)"
    )
    out.print(
        f"[bold]ratio {result['ratio']:.2f}[/]: stage, gates, post and snapshot took so many times the "
        f"{result['bare_copy_s']:.2f} s that two connections need to write the same rows and keys and nothing else "
        f"(before {bare['before_s']:.2f}, after {bare['after_s']:.2f} s)",
        soft_wrap=True,
    )
    out.print(
        f"load ratio {result['load_ratio']:.2f}: the load took so many times the {result['bare_load_s']:.2f} s that "
        "one connection needs to write the source rows into the same leaf with the same checks and indexes",
        soft_wrap=True,
    )
    if result["cpu_ratio"] is not None and result["load_cpu_ratio"] is not None:
        out.print(
            f"the same two ratios of CPU seconds, which others on the machine disturb less: {result['cpu_ratio']:.2f} "
            f"and {result['load_cpu_ratio']:.2f}"
        )


def _print_memory(result: Mapping[str, Any]) -> None:
    private, proportional = result["server_peak_private_mb"], result["server_peak_pss_mb"]
    server = "not to be seen from here"
    if private is not None:
        server = f"{private:,} MiB of its processes' own, {proportional:,} MiB with what they share"
    out.print(f"memory at most: client {result['peak_rss_mb']:,} MiB; server {server}")


def _stored(kind: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "": kind,
        "rows": stored["rows"],
        "leaves": stored["leaves"],
        "heap": _number(stored["heap_bytes_per_row"], 1),
        "indexes": _number(stored["index_bytes_per_row"], 1),
        "MiB": _number((stored["heap_bytes"] + stored["index_bytes"]) / MEBIBYTE, 1),
    }


def _alternative(one: Mapping[str, Any]) -> dict[str, Any]:
    if "not_measured" in one:
        return {
            "way": f"{one['name']} ({one['not_measured']})",
            "transactions": None, "seconds": None, "rows/s": None, "all_rows,_seconds": None, "times_our_close": None,
        }  # fmt: skip
    mark = "~" if one["is_extrapolated"] else ""
    return {
        "way": one["name"],
        "transactions": one["transactions"],
        "seconds": _number(one["seconds"], 2),
        "rows/s": one["rows_per_s"],
        "all_rows,_seconds": f"{mark}{one['all_transactions_s']:,.1f}",
        "times_our_close": f"{mark}{one['times_our_close']:,.1f}",
    }


def _number(value: float | None, places: int) -> Decimal | None:
    return None if value is None else round(Decimal(value), places)
