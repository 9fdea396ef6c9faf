"""How the command line shows things to people: tables, verdicts, progress. Programs ask for --json instead."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ledger_assets import logs
from ledger_assets.accounting.counting import counted, entries_and_lines
from ledger_assets.accounting.progress import duration
from ledger_assets.visible import visible

if TYPE_CHECKING:
    from ledger_assets.accounting.verification import Report
    from ledger_assets.close_result import CloseResult

_SPACE_BETWEEN = 3
_LONGEST_WORD = 10
"""A date is as long; longer words go on in the next line where the terminal is narrow."""
WIDTH_WITHOUT_TERMINAL = 160
"""Columns to use when nobody's terminal says how wide it is: in a pipe, a log, a CI run."""


def _is_terminal(stream: TextIO | None) -> bool:
    """None is a stream that was closed by whoever started the program, as some schedulers do."""
    return stream is not None and stream.isatty()


out = Console(width=None if _is_terminal(sys.stdout) else WIDTH_WITHOUT_TERMINAL)
err = Console(stderr=True)


class Advance(Protocol):
    """Tells a progress bar how many more rows are done."""

    def __call__(self, rows: int, /) -> None: ...


@contextmanager
def progress_bar(title: str, total: int | None) -> Iterator[Advance]:
    """A bar on a terminal; silence anywhere else."""
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=err, disable=not _is_terminal(sys.stderr), transient=True) as progress:
        task = progress.add_task(visible(title), total=total)
        yield lambda rows: progress.advance(task, rows)


def print_table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows as a table, numbers to the right with thousands separators; a note when there are none.

    Where a terminal is too narrow for its numbers, each row is a list of its own: a number that goes on in
    the next line is read wrongly.
    """
    if not rows:
        out.print(f"{title}: none")
        return
    widths = _widths(rows, out.width)
    if widths is None:
        _print_lists(title, rows)
        return
    table = Table(title=title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column, value in rows[0].items():
        justify: JustifyMethod = "right" if isinstance(value, int | Decimal) else "left"
        table.add_column(column.replace("_", " "), justify=justify, overflow="fold", width=widths[column])
    for row in rows:
        table.add_row(*(escape(_shown(value)) for value in row.values()))
    out.print(table)


def _widths(rows: Sequence[Mapping[str, Any]], available: int) -> dict[str, int] | None:
    """How wide each column is so that no number and no date is broken; None when they do not fit.

    The columns that miss least get what they miss first.
    """
    texts = {column: [column.replace("_", " "), *(_shown(row[column]) for row in rows)] for column in rows[0]}
    widths = {
        column: max(map(cell_len, [*column.split("_"), *(word for row in rows for word in _unbroken(row[column]))]))
        for column in texts
    }
    left = available - sum(widths.values()) - _SPACE_BETWEEN * len(widths)
    if left < 0:
        return None
    missing = {
        column: max(cell_len(line) for text in texts[column] for line in text.split("\n")) - width
        for column, width in widths.items()
    }
    for position, column in enumerate(sorted(missing, key=lambda column: missing[column])):
        more = min(max(missing[column], 0), left // (len(missing) - position))
        widths[column] += more
        left -= more
    return widths


def _unbroken(value: Any) -> list[str]:
    shown = _shown(value)
    if isinstance(value, int | Decimal):
        return [shown]
    return [word[:_LONGEST_WORD] for word in shown.split()]


def _print_lists(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    names = {column: column.replace("_", " ") for column in rows[0]}
    wide = max(map(len, names.values()))
    if title:
        out.print(escape(title), style="italic")
    for row in rows:
        out.print()
        for column, name in names.items():
            out.print(f" {name:<{wide}}  {escape(_shown(row[column]))}".rstrip(), soft_wrap=True, highlight=False)
    out.print()


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:,}" if isinstance(value, int | Decimal) else visible(str(value))


def print_close(result: "CloseResult") -> None:
    """One line for the outcome, one for each problem, and the first rows behind a failed gate."""
    written = entries_and_lines(result.entries, result.lines)
    headline = {
        "posted": f"[green]{result.period} posted[/] as {result.batch_id}: {written}",
        "nothing_new": f"{result.period}: nothing new to post; "
        + ("its balances were taken anew" if result.changes else "the balances stand"),
        "rehearsed": f"[green]{result.period} would pass its gates[/]: {written}; nothing was kept",
        "gate_failed": f"[red]{result.period} stopped at a gate[/]: nothing was posted",
        "not_certified": f"[red]{result.period} is not certified[/]: its balances and its posted lines were changed",
        "preflight_failed": f"[yellow]{result.period} was not started[/]",
    }.get(result.outcome, f"[red]{result.period} failed[/]")
    out.print(f"{headline} ({result.seconds:.1f} s)")
    if result.resumed:
        out.print(f"  {result.resumed}")
    if result.dry_run:
        print_judgement(result.dry_run)
    if result.late:
        print_table("late transactions booked", result.late)
    if result.changes:
        print_table("changed against the last close of the month", result.changes)
    for problem in result.problems:
        out.print(f"  {escape(visible(problem))}", soft_wrap=True)
    for warning in result.warnings:
        out.print(f"  [yellow]warning:[/] {escape(visible(warning))}", soft_wrap=True)
    for gate in result.gates:
        if gate["offending"]:
            print_table(f"{gate['gate']}: first rows", gate["offending"][:5])


def print_judgement(run: Mapping[str, Any]) -> None:
    """The recommendation of a dry run with its reasons, and the figures behind it."""
    colour = {"PROCEED": "green", "WARNING": "yellow"}.get(run["recommendation"], "red")
    out.print(f"[bold {colour}]{run['recommendation']}[/]")
    for reason in run["reasons"]:
        if reason.startswith("slow: "):  # the others are problems, told below
            out.print(f"  {escape(visible(reason))}", soft_wrap=True)
    if run["steps"]:
        print_table("time", [{"step": one["step"], "seconds": f"{one['seconds']:,.1f}"} for one in run["steps"]])
        target = f"target of {duration(run['target_seconds'])} {'met' if run['meets_target'] else 'missed'}"
        window = f"window of {duration(run['window_seconds'])} {'fits' if run['fits_window'] else 'does not fit'}"
        out.print(f"projected for a full close (+10 %): {duration(run['projected_seconds'])}; {target}, {window}")
        least = f" (under {run['throughput_judged_from']:,} transactions)" if run["throughput"] == "not judged" else ""
        out.print(
            f"throughput: {run['transactions_per_second'] or 0:,} transactions a second, "
            f"target {run['target_transactions_per_second']:,} {run['throughput']}{least}"
        )
    if run["not_rehearsed"]:
        names = ", ".join(run["not_rehearsed"])
        out.print(f"not rehearsed, in the inbox: {escape(visible(names))}", soft_wrap=True)


def print_report(report: "Report") -> None:
    """The verdict of a verification, what was read, and everything that differs or was not looked at."""
    colour = {"PROVEN": "green", "DIFFERENT": "red", "INCOMPLETE": "yellow"}[report.verdict]
    out.print(f"[{colour}]{report.verdict}[/] {escape(report.scope)}: {report.what_was_read}")
    for title, findings in (("differs", report.differences), ("not looked at", report.not_looked_at)):
        for finding in findings:
            out.print(f"  {title}: {escape(str(finding))}", soft_wrap=True)
            if finding.rows:
                print_table("", finding.rows)
    out.print(f"chain: {counted(report.chain_length, 'link')}, the last is {report.chain_head or 'none'}")


def print_proof(proof: Mapping[str, Any]) -> None:
    """An entry, and the way from its block to the chain."""
    entry, link = proof["entry"], proof["chain"]
    print_table("entry", [{name: value for name, value in entry.items() if name != "lines"}])
    print_table("lines", entry["lines"])
    out.print(f"block {proof['block_index'] + 1} of {proof['block_count']}; its siblings up to the worker's root:")
    for sibling in proof["block_path"]:
        out.print(f"  {sibling}", highlight=False)
    out.print(f"worker {proof['worker_index'] + 1} of {proof['worker_count']}; its siblings up to the batch's rows:")
    for sibling in proof["worker_path"]:
        out.print(f"  {sibling}", highlight=False)
    out.print(f"root of {link['batch_id']}: {link['root']}", highlight=False)
    out.print(f"chain, position {link['position']}: {link['hash']}", highlight=False)


def print_error(message: str) -> None:
    """What went wrong, on standard error: as a line of the log when that is JSON, so that it stays JSON."""
    if logs.error(message):
        return
    err.print(f"[red]error:[/] {escape(visible(message))}", highlight=False, soft_wrap=True)  # a broken path is no path
