"""The command `ledger-assets`: what people and other programs call.

Belongs here: words, options, exit codes and what is printed. Not here: anything that decides. Imports that cost time
stand inside the commands that need them: a close from a cold shell takes seconds, and `status` should not wait for
Dagster.
"""

import getpass
import json
import os
import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

import click

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.presentation import out, print_close, print_error, print_table, progress_bar
from ledger_assets.settings import Settings, SettingsError


class Period(click.ParamType[str]):
    """A month, YYYY-MM."""

    name = "YYYY-MM"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return f"{date.fromisoformat(f'{value}-01'):%Y-%m}"
        except ValueError:
            self.fail(f"{value!r} is no month: write it as YYYY-MM, for example 2025-01", param, ctx)


class Commands(click.Group):
    """Errors that people can act on are one message; everything else keeps its traceback."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """As click's own, but a mistyped command ends with 1: its 2 would say that a gate failed."""
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except click.ClickException as error:
            error.show()
            code = 1
        except click.Abort:
            print_error("interrupted")
            code = 1
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        from ledger_assets.storage.database import DatabaseError
        from ledger_assets.storage.server import ServerError

        try:
            return super().invoke(ctx)
        except (LedgerError, SettingsError, DatabaseError, ServerError) as error:
            print_error(str(error))
            sys.exit(1)


PERIOD = Period()
PERIOD_STATUS = {
    "loads": "source/loads_of_period",
    "batches": "control/batches",
    "gates": "control/gates",
    "exceptions": "control/exceptions",
}
STATUS_COLUMNS = {
    "loads": ("load_id", "file_name", "rows_in_file", "accepted", "rejected", "skipped", "unchanged", "posted_in"),
    "batches": ("batch_id", "attempt", "state", "rules", "entries", "lines", "started_by", "posted_at"),
    "gates": ("batch_id", "gate", "passed", "expected", "actual", "difference"),
}
"""What people are shown of it; --json has every column."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
period_option = click.option("--period", required=True, type=PERIOD, help="The month, for example 2025-01.")
existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ledger-assets")
def main() -> None:
    """The month-end close of a takaful insurer: from source transactions to a posted ledger and its balances.

    Without LEDGER_DATABASE_URL everything lives in an embedded PostgreSQL under .ledger/ (or $LEDGER_HOME), which is
    started when it is needed and stopped by `ledger-assets down`.
    """


def ready(settings: Settings) -> str:
    """The URL of a ledger that can be worked with: server up, databases there, schema current."""
    from ledger_assets.storage.database import ensure_databases, ledger_url
    from ledger_assets.storage.migrations import migrate

    ensure_databases(settings)
    url = ledger_url(settings)
    migrate(url)
    return url


def print_json(value: Any) -> None:
    """JSON on standard output; amounts and dates as strings, so that nothing is rounded on the way."""
    click.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))


# ------------------------------------------------------------------------------------------------ the server


@main.command()
@as_json
def up(as_json: bool) -> None:
    """Start the server if need be, create the databases, bring the schema up to date; says how to connect."""
    settings = Settings.from_environment()
    url = ready(settings)
    if as_json:
        print_json({"url": None if settings.database_url else url, "home": settings.home})
    elif settings.database_url:
        click.echo("ready: the server of LEDGER_DATABASE_URL")
    else:
        click.echo(f"ready: the embedded server in {settings.home}\nconnect with: psql '{url}'")


@main.command()
def down() -> None:
    """Stop the embedded server; its data stays."""
    from ledger_assets.storage.server import EmbeddedServer

    settings = Settings.from_environment()
    if settings.database_url:
        click.echo("nothing to stop: LEDGER_DATABASE_URL names a server of yours")
        return
    EmbeddedServer(settings.home).stop()
    click.echo("stopped")


@main.command()
def migrate() -> None:
    """Bring the schema of the ledger up to date; does nothing when it is."""
    ready(Settings.from_environment())
    click.echo("the schema is current")


@main.command()
@click.option("--port", default=3000, show_default=True, help="Where the UI listens, on this machine only.")
def ui(port: int) -> None:
    """Open Dagster's UI and daemon on what the commands made; ends with Ctrl-C."""
    settings = Settings.from_environment()
    ready(settings)
    os.chdir(settings.project_root)
    program = Path(sys.executable).parent / "dagster"
    os.execv(program, [str(program), "dev", "--workspace", "workspace.yaml", "--port", str(port)])  # noqa: S606 - our own program


# ------------------------------------------------------------------------------------------------ transactions


@main.command()
@period_option
@click.option("--rows", required=True, type=click.IntRange(min=0), help="How many transactions.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same rows.")
@click.option(
    "--out", "path", required=True, type=click.Path(dir_okay=False, path_type=Path), help="A .csv or .parquet file."
)
@click.option(
    "--defect",
    "defects",
    multiple=True,
    metavar="NAME",
    help="Put a fault in (repeatable); an unknown name lists them all.",
)
def generate(period: str, rows: int, seed: int, path: Path, defects: tuple[str, ...]) -> None:
    """Make test transactions: contributions and claims, split to the funds, always the same for a seed."""
    from ledger_assets.accounting.generation import generate as make
    from ledger_assets.accounting.generation import write

    with progress_bar("generating", rows) as advance:

        def frames() -> Any:
            for frame in make(period, rows, seed, defects):
                yield frame
                advance(frame.height)

        write(frames(), path, defects)
    click.echo(f"{path}: {rows:,} transactions of {period}")


@main.command()
@click.argument("file", type=existing_file)
@period_option
@click.option(
    "--mapping",
    "mapping_file",
    type=existing_file,
    help="A TOML file that names the file's own columns, constants and splits.",
)
@as_json
def ingest(file: Path, period: str, mapping_file: Path | None, as_json: bool) -> None:
    """Load a file of transactions into the source of a month; loading it again changes nothing."""
    from ledger_assets.accounting.mapping import load_mapping
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.source_loads import ingest as load

    settings = Settings.from_environment()
    url = ready(settings)
    with connect(url) as connection, progress_bar(f"loading {file.name}", None) as advance:
        result = load(
            connection,
            file,
            period=period,
            mapping=load_mapping(mapping_file),
            currency=settings.currency,
            loaded_by=getpass.getuser(),
            progress=advance,
        )
    if as_json:
        print_json(asdict(result))
    else:
        click.echo(str(result))


@main.command()
@click.argument("load_id", type=int)
@click.option("--reason", required=True)
def withdraw(load_id: int, reason: str) -> None:
    """Take a load out again that is in no posted batch, with its refused rows; its record stays."""
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.source_loads import withdraw as take_out

    with connect(ready(Settings.from_environment())) as connection:
        take_out(connection, load_id, reason=reason, by=getpass.getuser())
    click.echo(f"load {load_id} withdrawn")


@main.command("acknowledge-rejections")
@click.argument("period", type=PERIOD)
@click.option("--reason", required=True)
def acknowledge(period: str, reason: str) -> None:
    """Declare the refused rows of a month as looked at and left out for good; they stay on record with the reason."""
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.source_loads import acknowledge_rejections

    with connect(ready(Settings.from_environment())) as connection:
        count = acknowledge_rejections(connection, period, reason=reason, by=getpass.getuser())
    click.echo(f"{count:,} refused rows of {period} acknowledged")


@main.command("approve-rules")
@click.argument("rule_set")
@click.argument("version", type=int)
@click.option(
    "--as",
    "approver",
    default=getpass.getuser,
    show_default="your user name",
    help="Who approves; never the one who prepared it.",
)
def approve_rules(rule_set: str, version: int, approver: str) -> None:
    """Approve a stored version of a rule set, so that it may post."""
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.rules import approve, load

    with connect(ready(Settings.from_environment())) as connection:
        content_hash = load(connection, rule_set, version).rule_set.content_hash()
        new = approve(connection, rule_set, version, approved_by=approver, content_hash=content_hash)
    click.echo(
        f"rule set {rule_set} v{version} {'approved' if new else 'was approved before'}, content {content_hash[:12]}"
    )


# ------------------------------------------------------------------------------------------------ the close


@main.command()
@click.argument("period", type=PERIOD)
@click.option(
    "--dry-run", is_flag=True, help="Stage and run the gates on the real data, then take everything away again."
)
@click.option("--verbose", is_flag=True, help="Show Dagster's events as they happen.")
@as_json
def close(period: str, dry_run: bool, verbose: bool, as_json: bool) -> None:
    """Close a month: stage, gates, post, balances, report.

    Exit code 0: posted, or nothing to do. 2: a gate failed. 3: pre-flight failed, nothing was started. 1: anything
    else.
    """
    settings = Settings.from_environment()
    ready(settings)
    if dry_run:
        from ledger_assets.rehearsal import rehearse

        result = rehearse(settings, period, performed_by=getpass.getuser())
    else:
        from ledger_assets.closing import close as run

        result = run(settings, period, log_level="INFO" if verbose else "CRITICAL")
    if as_json:
        print_json(asdict(result))
    else:
        print_close(result)
    sys.exit(result.exit_code)


@main.command()
@click.argument("period", type=PERIOD, required=False)
@as_json
def status(period: str | None, as_json: bool) -> None:
    """What state the months are in; with a month: its batches, gates and open exceptions."""
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.reading import rows

    with connect(ready(Settings.from_environment())) as connection:
        if period is None:
            answer = {"months": rows(connection, "control/months")}
        else:
            answer = {name: rows(connection, statement, period=period) for name, statement in PERIOD_STATUS.items()}
    if as_json:
        print_json(answer["months"] if period is None else answer)
        return
    for title, records in answer.items():
        shown = STATUS_COLUMNS.get(title)
        print_table(title, [{key: row[key] for key in shown} for row in records] if shown else records)
    for batch in answer.get("batches", []):
        if batch["state"] == "FAILED":
            out.print(f"{batch['batch_id']} failed: {batch['failure_reason']}", markup=False)


@main.command("trial-balance")
@click.argument("period", type=PERIOD)
@as_json
def trial_balance(period: str, as_json: bool) -> None:
    """Opening balance, debits, credits and closing balance of every account of a closed month; debits positive."""
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.reading import rows

    with connect(ready(Settings.from_environment())) as connection:
        accounts = rows(connection, "snapshot/trial_balance", period=period)
    if not accounts and not as_json:
        out.print(f"{period} has no balances: it is not closed, or nothing was ever posted")
    elif as_json:
        print_json(accounts)
    else:
        print_table(f"trial balance {period}", accounts)


@main.command()
@click.argument("period", type=PERIOD)
@click.option("--format", "notation", default="hledger", show_default=True, type=click.Choice(["hledger", "beancount"]))
@click.option(
    "--out", "path", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file to write."
)
def export(period: str, notation: str, path: Path) -> None:
    """Write a closed month as plain-text accounting, with its balances as assertions for others to check."""
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.export import export as write_month

    with connect(ready(Settings.from_environment())) as connection:
        entries = write_month(connection, period, path, notation=notation)
    click.echo(f"{path}: {entries:,} entries of {period}")


@main.command()
def demo() -> None:
    """Six generated months, one of them faulty, closed by a backfill through Dagster, and what came of it."""
    from ledger_assets.demo import run_demo

    settings = Settings.from_environment()
    ready(settings)
    run_demo(settings)


@main.command()
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--lines",
    default="8",
    show_default=True,
    type=click.Choice(["2", "8"]),
    help="Lines per entry: 8 = combined, 2 = three_entries.",
)
@as_json
def bench(rows: int, lines: str, as_json: bool) -> None:
    """Close generated transactions in a scratch database and compare with the bare COPY of the same rows."""
    from ledger_assets.bench import run_bench

    result = run_bench(Settings.from_environment(), transactions=rows, lines=int(lines))
    if as_json:
        print_json(result)
    else:
        steps = result.pop("steps")
        print_table("steps", [{"step": step, "seconds": seconds} for step, seconds in steps.items()])
        print_table("close against bare COPY", [result])


if __name__ == "__main__":
    main()
