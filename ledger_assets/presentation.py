"""How the command line shows things to people: tables, verdicts, progress. Programs ask for --json instead."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from rich import box
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from ledger_assets.close_result import CloseResult

WIDTH_WITHOUT_TERMINAL = 160
"""Columns to use when nobody's terminal says how wide it is: in a pipe, a log, a CI run."""

out = Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL)
err = Console(stderr=True)


class Advance(Protocol):
    """Tells a progress bar how many more rows are done."""

    def __call__(self, rows: int, /) -> None: ...


@contextmanager
def progress_bar(title: str, total: int | None) -> Iterator[Advance]:
    """A bar on a terminal; silence anywhere else."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=err, disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda rows: progress.advance(task, rows)


def print_table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows as a table, numbers to the right with thousands separators; a note when there are none."""
    if not rows:
        out.print(f"{title}: none")
        return
    table = Table(title=title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column, value in rows[0].items():
        justify: JustifyMethod = "right" if isinstance(value, int | Decimal) else "left"
        table.add_column(column.replace("_", " "), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(escape(_shown(value)) for value in row.values()))
    out.print(table)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:,}" if isinstance(value, int | Decimal) else str(value)


def print_close(result: "CloseResult") -> None:
    """One line for the outcome, one for each problem, and the first rows behind a failed gate."""
    written = f"{result.entries:,} entries, {result.lines:,} lines"
    headline = {
        "posted": f"[green]{result.period} posted[/] as {result.batch_id}: {written}",
        "nothing_new": f"{result.period}: nothing new to post; "
        + ("its balances were taken anew" if result.changes else "the balances stand"),
        "rehearsed": f"[green]{result.period} would pass its gates[/]: {written}; nothing was kept",
        "gate_failed": f"[red]{result.period} stopped at a gate[/]: nothing was posted",
        "preflight_failed": f"[yellow]{result.period} was not started[/]",
    }.get(result.outcome, f"[red]{result.period} failed[/]")
    out.print(f"{headline} ({result.seconds:.1f} s)")
    if result.late:
        print_table("late transactions booked", result.late)
    if result.changes:
        print_table("changed against the last close of the month", result.changes)
    for problem in result.problems:
        out.print(f"  {escape(problem)}", soft_wrap=True)
    for gate in result.gates:
        if gate["offending"]:
            print_table(f"{gate['gate']}: first rows", gate["offending"][:5])


def print_error(message: str) -> None:
    """What went wrong, on standard error."""
    err.print(f"[red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)  # a broken path is no path
