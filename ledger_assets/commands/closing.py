"""The close itself, its demonstration and its benchmark."""

import getpass
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger_assets import logs
from ledger_assets.commands.options import PERIOD, as_json, print_json, ready, say
from ledger_assets.lasting import lasting_imports
from ledger_assets.presentation import print_close
from ledger_assets.settings import Settings

if TYPE_CHECKING:
    from ledger_assets.close_result import CloseResult


@click.command()
@click.argument("period", type=PERIOD)
@click.option(
    "--dry-run", is_flag=True, help="Stage and run the gates on the real data, then take everything away again."
)
@click.option("--verbose", is_flag=True, help="Show Dagster's events as they happen.")
@as_json
def close(period: str, dry_run: bool, verbose: bool, as_json: bool) -> None:
    """Close a month: stage, gates, post, balances, report.

    Exit code 0: posted, or nothing to do. 2: a gate failed, or the certificate was refused. 3: pre-flight failed,
    nothing was started. 1: anything else.
    """
    settings = Settings.from_environment()
    ready(settings, "ledger_engine")
    report = None
    if dry_run:
        from ledger_assets.rehearsal import rehearse

        result = rehearse(settings, period, performed_by=getpass.getuser())
        report = _reported(settings, result)
    else:
        with lasting_imports():
            # What dagster.yaml names is imported with the rest: Dagster would do so a moment later.
            from ledger_assets.closing import close as run
            from ledger_assets.storage import dagster_storage  # noqa: F401

        result = run(settings, period, log_level="INFO" if verbose else "CRITICAL")
    logs.note(
        outcome=result.outcome.value, batch_id=result.batch_id, run_id=result.run_id, entries=result.entries,
        problems=result.problems,
    )  # fmt: skip
    if as_json:
        print_json(asdict(result))
    else:
        print_close(result)
        if report:
            say(f"report: {report}")
    sys.exit(result.exit_code)


def _reported(settings: Settings, result: "CloseResult") -> Path | None:
    if result.dry_run is None:
        return None
    from ledger_assets.reporting.dry_run import write

    return write(settings.home, result)


@click.command()
def demo() -> None:
    """Six generated months, one of them faulty, closed by a backfill through Dagster, and what came of it."""
    with lasting_imports():
        from ledger_assets.demo import run_demo

    settings = Settings.from_environment()
    ready(settings, "ledger_engine")
    run_demo(settings)


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=1), help="Transactions to close.")
@click.option(
    "--lines",
    default="8",
    show_default=True,
    type=click.Choice(["2", "8"]),
    help="Lines per entry: 8 = combined, 2 = three_entries.",
)
@click.option(
    "--repeat",
    default=1,
    show_default=True,
    type=click.IntRange(1, 100),
    help="Rounds, each in a fresh database; the figures are their medians.",
)
@click.option(
    "--seed",
    default=1,
    show_default=True,
    type=click.IntRange(min=0),
    help="The same seed gives the same transactions.",
)
@click.option("--compare", is_flag=True, help="Also post the rows by what a team would otherwise do.")
@as_json
def bench(rows: int, lines: str, repeat: int, seed: int, compare: bool, as_json: bool) -> None:
    """Close generated transactions in a scratch database and compare with the bare COPY of the same rows."""
    from ledger_assets.bench import run_bench
    from ledger_assets.bench.presentation import announcing, print_bench

    with announcing() as announce:
        result = run_bench(
            Settings.from_environment(),
            transactions=rows,
            lines=int(lines),
            seed=seed,
            repeat=repeat,
            comparing=compare,
            announce=announce,
        )
    if as_json:
        print_json(result)
    else:
        print_bench(result)
