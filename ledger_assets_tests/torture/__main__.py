"""The long campaign, `make torture`: SEED=, FAULTS= (of each kind; 0 = all), MINUTES=, ONLY= (a fault, as printed)."""

import argparse
import math
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ledger_assets_tests.torture.campaign import KINDS, TOGETHER, Fault, Ground, attempt, ground, possible, sampled
from ledger_assets_tests.torture.servers import NotHereError

LANES = 4
"""How many faults are tried at the same time; a child and the server rest while the other one works."""


class Record:
    """What was tried, and what came of it."""

    def __init__(self, progress: Progress) -> None:
        self.tried: dict[str, int] = dict.fromkeys([*KINDS, TOGETHER], 0)
        self.failed: dict[str, list[tuple[Fault, str]]] = {kind: [] for kind in self.tried}
        self.skipped: dict[str, str] = {}
        self.progress = progress
        self._lock = Lock()

    def try_one(self, fault: Fault, where: Ground) -> None:
        try:
            attempt(fault, where)
            failure = None
        except Exception as problem:  # noqa: BLE001 (it becomes a line of the table)
            failure = str(problem) if isinstance(problem, AssertionError) else traceback.format_exc()
        with self._lock:
            self.tried[fault.kind] += 1
            if failure:
                self.failed[fault.kind].append((fault, failure))
                self.progress.console.print(f"[red]failed[/red] {fault}\n  {failure[:2000]}", highlight=False)

    def table(self) -> Table:
        table = Table("fault", "tried", "recovered", "result", title="fault campaign")
        for kind, tried in self.tried.items():
            failed = self.failed[kind]
            if kind in self.skipped:
                result = f"skipped: {self.skipped[kind]}"
            elif failed:
                result = f"{len(failed)} failed"
            else:
                result = "all recovered" if tried else ""
            table.add_row(kind, str(tried), str(tried - len(failed)), result)
        table.add_row("all", str(sum(self.tried.values())), str(self.recovered), "")
        return table

    @property
    def recovered(self) -> int:
        return sum(self.tried.values()) - sum(map(len, self.failed.values()))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=int, default=0, help="of each kind; 0 = all that there are")
    parser.add_argument("--minutes", type=float, default=0, help="then no more are begun on a server; 0 = no limit")
    parser.add_argument("--kind", action="append", choices=[*KINDS, TOGETHER])
    parser.add_argument("--only", type=Fault.parse, help="one fault, as it was printed")
    options = parser.parse_args(arguments)
    kinds = [options.only.kind] if options.only else options.kind or [*KINDS, TOGETHER]
    console = Console()
    started = time.monotonic()
    with Progress(console=console, disable=not console.is_terminal) as progress:
        record = Record(progress)
        with tempfile.TemporaryDirectory() as folder:
            for name in dict.fromkeys(_ground_of(kind) for kind in kinds):
                here = [kind for kind in kinds if _ground_of(kind) == name]
                try:
                    with ground(name, Path(folder)) as where:
                        _try_all(here, where, record, options)
                except NotHereError as reason:
                    record.skipped |= dict.fromkeys(here, str(reason))
    console.print(record.table())
    for failed in filter(None, record.failed.values()):
        console.print(f"make torture ONLY='{failed[0][0]}'", highlight=False, soft_wrap=True)
    console.print(f"seed {options.seed}, {time.monotonic() - started:.0f} s")
    return int(any(record.failed.values()))


def _ground_of(kind: str) -> str:
    return "shared" if kind == TOGETHER else KINDS[kind].ground


def _try_all(kinds: Sequence[str], where: Ground, record: Record, options: argparse.Namespace) -> None:
    """A server that is done harm takes one fault at a time; on the shared one they do not see each other."""
    faults = [options.only] if options.only else []
    if not faults:
        for kind in kinds:
            faults += sampled(possible(where.books, kind), options.faults or None, options.seed)
    dice = random.Random(options.seed)
    dice.shuffle(faults)  # when the time is over, every kind has had its share
    last_start = time.monotonic() + 60 * (options.minutes or math.inf)

    def try_in_time(fault: Fault) -> None:
        if time.monotonic() < last_start:
            record.try_one(fault, where)

    task = record.progress.add_task(f"{len(faults)} faults: {', '.join(kinds)}", total=len(faults))
    with ThreadPoolExecutor(LANES if _ground_of(kinds[0]) == "shared" else 1) as lanes:
        for _ in lanes.map(try_in_time, faults):
            record.progress.advance(task)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
