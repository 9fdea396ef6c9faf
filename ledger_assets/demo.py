"""The demonstration: six generated months, the fourth one faulty, closed by a backfill through Dagster.

Repeatable: the rows come from a seed, a file that was loaded before changes nothing, a month that is posted has
nothing new. It goes through the doors that everybody goes through: files, `ingest`, and a backfill that Dagster's
daemon runs.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import click
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.generation import generate, write
from ledger_assets.accounting.mapping import load_mapping
from ledger_assets.closing import dagster_instance
from ledger_assets.presentation import print_table, progress_bar
from ledger_assets.reporting.papers import report_path
from ledger_assets.settings import Settings
from ledger_assets.storage.database import connect, ledger_url
from ledger_assets.storage.reading import rows
from ledger_assets.storage.source_loads import ingest

MONTHS = 6
ROWS = 20_000
SEED = 7
FAULTY_MONTH = 4
DEFECT = "unknown_product"
LONGEST_BACKFILL_SECONDS = 900


class DemoRefused(LedgerError):  # noqa: N818 - what happened
    """The demonstration would mix its invented rows with real ones."""


def run_demo(settings: Settings) -> None:
    """Generate, ingest, backfill, and say what came of it.

    Raises DemoRefused when the ledger holds loads that are not the demonstration's own.
    """
    periods = _periods(settings.first_period)
    _refuse_real_books(settings)
    click.echo(
        f"1. {MONTHS} months of {ROWS:,} generated transactions, {periods[FAULTY_MONTH - 1]} with the defect {DEFECT}"
    )
    with progress_bar("loading", MONTHS) as advance:
        for number, period in enumerate(periods, start=1):
            _deliver(settings, period, (DEFECT,) if number == FAULTY_MONTH else ())
            advance(1)
    click.echo(f"2. a backfill of {periods[0]} to {periods[-1]} by Dagster's daemon, one run a month")
    _backfill(settings, periods)
    click.echo("3. what came of it\n")
    _show(settings, periods)


def _periods(first: str) -> list[str]:
    month = date.fromisoformat(f"{first}-01")
    return [
        f"{date(month.year + (month.month - 1 + n) // 12, (month.month - 1 + n) % 12 + 1, 1):%Y-%m}"
        for n in range(MONTHS)
    ]


def _refuse_real_books(settings: Settings) -> None:
    with connect(ledger_url(settings)) as connection:
        foreign = rows(connection, "source/loads_not_named", pattern="demo-%")
    if foreign:
        raise DemoRefused(
            f"load {foreign[0]['load_id']} ({foreign[0]['file_name']})",
            "these books hold transactions that are not the demonstration's",
            "point LEDGER_HOME or LEDGER_DATABASE_URL at another place for the demonstration",
        )


def _deliver(settings: Settings, period: str, defects: tuple[str, ...]) -> None:
    with connect(ledger_url(settings)) as connection:
        if any(load["posted_in"] != "withdrawn" for load in rows(connection, "source/loads_of_period", period=period)):
            return  # delivered before, perhaps corrected since
    file = settings.home / "demo" / f"demo-{period}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    write(generate(period, ROWS, SEED, defects), file, defects)
    with connect(ledger_url(settings)) as connection:
        ingest(
            connection, file, period=period, mapping=load_mapping(None), currency=settings.currency, loaded_by="demo"
        )


def _backfill(settings: Settings, periods: list[str]) -> None:
    """Launch the backfill, and run Dagster's daemon until its runs have ended."""
    with dagster_instance(settings) as instance, _daemon(settings):
        before = {run.run_id for run in instance.get_runs(RunsFilter(job_name="month_close"))}
        _dagster(
            settings,
            "dagster",
            "job",
            "backfill",
            "--workspace",
            "workspace.yaml",
            "--job",
            "month_close",
            "--from",
            periods[0],
            "--to",
            periods[-1],
            "--noprompt",
        )
        with progress_bar("closing", len(periods)) as advance:
            _wait(instance, before, len(periods), advance)


def _wait(instance: DagsterInstance, before: set[str], wanted: int, advance: object) -> None:
    deadline = time.monotonic() + LONGEST_BACKFILL_SECONDS
    ended = 0
    finished = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
    while ended < wanted:
        if time.monotonic() > deadline:
            raise DemoRefused(
                "the backfill",
                f"it did not end within {LONGEST_BACKFILL_SECONDS} s",
                "look at its runs: ledger-assets ui",
            )
        time.sleep(0.5)
        runs = [run for run in instance.get_runs(RunsFilter(job_name="month_close")) if run.run_id not in before]
        now = sum(run.status in finished for run in runs)
        if now > ended and callable(advance):
            advance(now - ended)
        ended = now


def _environment(settings: Settings) -> dict[str, str]:
    """Dagster's programs want a home of theirs with the configuration in it, and leave files there."""
    home = settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(settings.project_root / "dagster.yaml", home / "dagster.yaml")
    return {**os.environ, "DAGSTER_HOME": str(home)}


def _dagster(settings: Settings, program: str, *arguments: str) -> None:
    command = [str(Path(sys.executable).parent / program), *arguments]
    finished = subprocess.run(
        command, cwd=settings.project_root, env=_environment(settings), capture_output=True, text=True, check=False
    )
    if finished.returncode != 0:
        raise DemoRefused(
            " ".join(arguments[:2]), f"Dagster refused it: {finished.stderr.strip()[-2000:]}", "see the message"
        )


@contextmanager
def _daemon(settings: Settings) -> Iterator[None]:
    """Dagster's daemon, for as long as the backfill runs; `ledger-assets ui` brings its own."""
    log = settings.home / "demo" / "daemon.log"
    command = [str(Path(sys.executable).parent / "dagster-daemon"), "run", "--workspace", "workspace.yaml"]
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=settings.project_root,
            env=_environment(settings),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _show(settings: Settings, periods: list[str]) -> None:
    with connect(ledger_url(settings)) as connection:
        print_table("months", rows(connection, "control/months"))
        last = rows(connection, "snapshot/last_closed_period")[0]["period"]
        print_table(f"trial balance {last}", rows(connection, "snapshot/trial_balance", period=last))
    click.echo(f"close report:  {report_path(settings.home, last)}")
    if last < periods[FAULTY_MONTH - 1]:
        faulty, command = periods[FAULTY_MONTH - 1], os.path.relpath(Path(sys.executable).parent / "ledger-assets")
        click.echo(f"{faulty} stopped at its gate; the months after it wait. Why:  {command} status {faulty}")
    click.echo("the same in Dagster's UI:  make ui")
