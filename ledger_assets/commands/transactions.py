"""Commands about what goes into a close: transactions, and the rules that journal them."""

import getpass
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ledger_assets.accounting.counting import counted
from ledger_assets.commands.options import PERIOD, SERIAL, as_json, existing_file, period_option, print_json, ready, say
from ledger_assets.presentation import progress_bar
from ledger_assets.settings import Settings


@click.command()
@period_option
@click.option("--rows", required=True, type=click.IntRange(0, 1_000_000_000), help="How many transactions.")
@click.option(
    "--seed", default=1, show_default=True, type=click.IntRange(0, 2**63 - 1), help="The same seed gives the same rows."
)
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
    say(f"{path}: {counted(rows, 'transaction')} of {period}")


@click.command()
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
    from ledger_assets.storage.database import in_transaction
    from ledger_assets.storage.source_loads import ingest as load

    settings = Settings.from_environment()
    url = ready(settings, "ledger_engine")
    with progress_bar(f"loading {file.name}", None) as advance:
        result = in_transaction(
            url,
            lambda connection: load(
                connection,
                file,
                period=period,
                mapping=load_mapping(mapping_file),
                currency=settings.currency,
                loaded_by=getpass.getuser(),
                progress=advance,
            ),
        )
    if as_json:
        print_json(asdict(result))
    else:
        say(str(result))


@click.command()
@click.argument("load_id", type=SERIAL)
@click.option("--reason", required=True)
def withdraw(load_id: int, reason: str) -> None:
    """Take a load out again that is in no posted batch, with its refused rows; its record stays."""
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.source_loads import withdraw as take_out

    with connect(ready(Settings.from_environment())) as connection:
        take_out(connection, load_id, reason=reason, by=getpass.getuser())
    say(f"load {load_id} withdrawn")


@click.command("acknowledge-rejections")
@click.argument("period", type=PERIOD)
@click.option("--reason", required=True)
def acknowledge(period: str, reason: str) -> None:
    """Declare the refused rows of a month as looked at and left out for good; they stay on record with the reason."""
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.source_loads import acknowledge_rejections

    with connect(ready(Settings.from_environment())) as connection:
        count = acknowledge_rejections(connection, period, reason=reason, by=getpass.getuser())
    say(f"{counted(count, 'refused row')} of {period} acknowledged" if count else f"{period} has no open refused row")


@click.command("approve-rules")
@click.argument("rule_set")
@click.argument("version", type=SERIAL)
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
    say(f"rule set {rule_set} v{version} {'approved' if new else 'was approved before'}, content {content_hash[:12]}")
