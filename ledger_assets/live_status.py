"""Watch a batch from a terminal (A3): a bar, the pace, the time to go, and every worker, until the batch has ended.

Belongs here: how it is shown, and when watching ends. Not here: what a batch is asked (`storage/workers.py`).
"""

import time
from collections.abc import Callable, Iterator
from typing import Final

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from ledger_assets.accounting.counting import counted
from ledger_assets.storage.workers import Watched
from ledger_assets.visible import visible

SECONDS_BETWEEN: Final = 1.0
LOOKS_AT_NOBODY: Final = 5
"""So many times in a row nobody has to be staging a batch until it counts as left alone."""
LINES_BESIDE_WORKERS: Final = 11
COLOURS: Final = {"COMPLETED": "green", "RUNNING": "cyan", "FAILED": "red"}

Look = Callable[[], Watched | None]


def watch(look: Look, console: Console, *, pause: Callable[[float], None] = time.sleep) -> None:
    """Show what `look` finds until the batch has ended, nobody works on it any more, or Ctrl-C.

    On a terminal one view that changes; anywhere else a line for each change.
    """
    last: Watched | None = None
    try:
        if console.is_terminal:
            with Live(console=console, auto_refresh=False, transient=True) as live:
                for last in _looks(look, pause):
                    live.update(_view(last, console.height - LINES_BESIDE_WORKERS), refresh=True)
        else:
            said = ""
            for last in _looks(look, pause):
                if said != (said := line(last)):
                    console.print(escape(visible(said)), soft_wrap=True, highlight=False)
    except KeyboardInterrupt:
        console.print("no longer watching; the batch goes on")
        return
    console.print(escape(visible(how_it_ended(last))), soft_wrap=True, highlight=False)


def _looks(look: Look, pause: Callable[[float], None]) -> Iterator[Watched]:
    alone = 0
    while (found := look()) is not None:
        yield found
        alone = alone + 1 if found.state == "PROCESSING" and found.stager is None else 0
        if found.has_ended or alone >= LOOKS_AT_NOBODY:
            return
        pause(SECONDS_BETWEEN)


def line(found: Watched) -> str:
    """Where the batch stands, in one line; the same as long as nothing has changed."""
    workers = ", ".join(f"{count} {status.lower()}" for status, count in sorted(found.by_status.items()))
    told = f"{found.batch_id} {found.state}"
    if found.state == "PROCESSING":
        told += (
            f" {found.progress.percent} %, {found.progress.done:,} of {counted(found.progress.expected, 'transaction')}"
        )
    return f"{told}; workers: {workers or 'none'}"


def how_it_ended(last: Watched | None) -> str:
    """The last word, with what to do."""
    if last is None:
        return "no batch is running"
    again = f"ledger-assets close {last.period} goes on where its workers ended"
    match last.state:
        case "COMMITTED":
            return f"{last.batch_id} is posted"
        case "FAILED":
            return f"{last.batch_id} failed: {last.failure_reason}"
        case "PROCESSING":
            return f"{last.batch_id}: nobody is staging it any more; {again}"
        case _:
            return f"{last.batch_id} is {last.state}: {last.failure_reason}"


def _view(found: Watched, lines: int) -> Group:
    head = Table.grid(padding=(0, 1))
    head.add_row(f"[bold]{escape(visible(found.batch_id))}[/]", found.state, f"attempt {found.attempt}")
    done = Table.grid()  # a bar by itself ends no line: what follows stood behind it, and was cut off
    done.add_row(ProgressBar(total=max(found.progress.expected, 1), completed=found.progress.done, width=60))
    note = {
        "VALIDATING": f"staged; its gates are next (ledger-assets close {found.period}, if nobody runs them)",
        "VALIDATED": "its gates have passed; posting is next",
    }.get(found.state, "" if found.stager or found.state != "PROCESSING" else "nobody is staging it")
    return Group(head, done, str(found.progress), note, _workers(found, max(lines, 1)))


def _workers(found: Watched, lines: int) -> Table:
    """Those that failed or run before the others, as many as there are lines."""
    urgent = {"FAILED": 0, "RUNNING": 1, "PENDING": 2, "COMPLETED": 3}
    shown = sorted(found.workers, key=lambda worker: (urgent[worker["status"]], worker["worker"]))[:lines]
    hidden = len(found.workers) - len(shown)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=f"and {hidden} others" if hidden else None)
    for column in ("worker", "records", "seconds", "records/s"):
        table.add_column(column, justify="right")
    table.add_column("status")
    table.add_column("", overflow="ellipsis", no_wrap=True)
    for worker in sorted(shown, key=lambda worker: int(worker["worker"])):
        status = str(worker["status"])
        table.add_row(
            str(worker["worker"]),
            f"{worker['records']:,}",
            "" if worker["seconds"] is None else f"{worker['seconds']:,}",
            "" if worker["records_per_second"] is None else f"{worker['records_per_second']:,.0f}",
            f"[{COLOURS.get(status, 'dim')}]{status}[/]",
            escape(visible(worker["error"] or "")),
        )
    return table
