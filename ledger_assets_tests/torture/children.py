"""Child processes, forked from one that has imported everything, which takes 0.1 s; and what they report."""

import contextlib
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from ledger_assets_tests.waiting import PATIENCE


def start(body: Callable[..., object], *arguments: object, **options: object) -> tuple[BaseProcess, Connection]:
    """Begin `body(*arguments, report, **options)` in a child; `report` is where it sends what it has to say."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"{__package__}.campaign"])
    reports, report = context.Pipe(duplex=False)
    child = context.Process(target=body, args=(*arguments, report), kwargs=options)
    child.start()
    report.close()
    return child, reports


def end(child: BaseProcess, reports: Connection) -> tuple[list[Any], int | None]:
    """Wait for it: what it reported, and its exit code. One that says nothing for PATIENCE seconds hangs."""
    words: list[Any] = []
    with contextlib.suppress(EOFError), reports:
        while reports.poll(PATIENCE):
            words.append(reports.recv())
    child.join(PATIENCE)
    if child.is_alive():
        child.kill()
        child.join()
        raise AssertionError(f"it hangs: no end after {PATIENCE} s; so far {words}")
    return words, child.exitcode


def run(body: Callable[..., object], *arguments: object, **options: object) -> tuple[list[Any], int | None]:
    """Both."""
    return end(*start(body, *arguments, **options))
