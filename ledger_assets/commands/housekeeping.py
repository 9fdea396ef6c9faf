"""Commands that keep the house: partitions ahead, months to files and back."""

import getpass
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ledger_assets.commands.corrections import ADMINISTRATOR
from ledger_assets.commands.options import PERIOD, as_json, print_json, ready, say
from ledger_assets.presentation import print_table
from ledger_assets.settings import Settings

if TYPE_CHECKING:
    from ledger_assets.storage.archives import Layer
    from ledger_assets.storage.archiving import Place

_DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
_LAYERS = (
    click.option("--source", is_flag=True, help="Only the transactions of its loads."),
    click.option("--ledger", is_flag=True, help="Only its entries."),
)


@click.command()
@click.option("--ahead", default=3, show_default=True, type=click.IntRange(0, 120), help="Months after the open one.")
@_DRY_RUN
@as_json
def rotate(ahead: int, dry_run: bool, as_json: bool) -> None:
    """Make the month partitions of source and ledger ahead of time; those that are there stay as they are."""
    from ledger_assets.storage.housekeeping import rotate as make

    url = ready(Settings.from_environment(), "ledger_engine")
    result = make(url, ahead=ahead, performed_by=getpass.getuser(), dry_run=dry_run)
    if as_json:
        print_json(asdict(result))
        return
    click.echo(f"{'to make' if dry_run else 'made'}: {', '.join(result.partitions) or 'nothing, all are there'}")
    if result.left:
        click.echo(f"left for the next time, somebody had them locked: {', '.join(result.left)}")


def _layers(source: bool, ledger: bool) -> "list[Layer]":
    from ledger_assets.storage.archives import ACTIVE_MONTHS

    wanted = {"SOURCE": source, "LEDGER": ledger}
    return [layer for layer in ACTIVE_MONTHS if wanted[layer] or not any(wanted.values())]


def _place(settings: Settings) -> "Place":
    from ledger_assets.storage.archiving import Place

    administrator = ready(settings, ADMINISTRATOR)
    return Place(ready(settings), administrator, settings.archive)


@click.command()
@click.argument("period", type=PERIOD, required=False)
@click.option("--due", is_flag=True, help="Everything that is no longer active, instead of one month.")
@_LAYERS[0]
@_LAYERS[1]
@click.option("--early", is_flag=True, help="With a month: although it is still active.")
@_DRY_RUN
@as_json
def archive(
    period: str | None, due: bool, source: bool, ledger: bool, early: bool, dry_run: bool, as_json: bool
) -> None:
    """Take a closed month out of the database, into Parquet files that are proven first; `restore` brings it back.

    Transactions go when their month is not one of the three newest closed ones, entries when it is not one of the
    twelve newest. Balances, batches, seals and certificates stay. Without --source or --ledger: both.
    """
    from ledger_assets.storage.archives import ACTIVE_MONTHS
    from ledger_assets.storage.housekeeping import archive_due, archive_named

    if (period is None) != due or (early and due):
        raise click.UsageError("name a month, for example 2024-01 (with --early if it is still active), or say --due")
    place, layers, user = _place(Settings.from_environment()), _layers(source, ledger), getpass.getuser()
    if period is None:
        done = archive_due(place, layers, performed_by=user, dry_run=dry_run)
    else:
        active = {layer: 0 if early else months for layer, months in ACTIVE_MONTHS.items()}
        done = archive_named(place, period, layers, active_months=active, performed_by=user, dry_run=dry_run)
    title = "would be archived" if dry_run else "archived"
    _show([asdict(month) for month in done.months], done.problems, title, as_json)


def _show(months: list[dict[str, Any]], problems: list[str], title: str, as_json: bool) -> None:
    if as_json:
        print_json({"months": months, "problems": problems})
    else:
        if months:
            print_table(title, months)
        elif not problems:
            say("nothing is due")
        for problem in problems:
            say(problem)
    sys.exit(1 if problems else 0)


@click.command()
@click.argument("period", type=PERIOD)
@_LAYERS[0]
@_LAYERS[1]
@as_json
def restore(period: str, source: bool, ledger: bool, as_json: bool) -> None:
    """Bring an archived month back into the database, and prove it against its seals. Its files stay."""
    from ledger_assets.storage.archiving import restore_month

    restored, report = restore_month(
        _place(Settings.from_environment()), period, _layers(source, ledger), performed_by=getpass.getuser()
    )
    if as_json:
        print_json({"restored": [asdict(one) for one in restored], "verdict": report.verdict if report else None})
        return
    print_table("restored", [asdict(one) for one in restored])
    if report is not None:
        say(report.summary)


@click.command("archives")
@click.argument("period", type=PERIOD, required=False)
@as_json
def list_archives(period: str | None, as_json: bool) -> None:
    """What was archived, where it lies, and what of it was restored."""
    from ledger_assets.storage.archives import archives
    from ledger_assets.storage.database import connect

    settings = Settings.from_environment()
    with connect(ready(settings)) as connection:
        found = archives(connection, period)
    if as_json:
        print_json({"root": settings.archive, "archives": found})
        return
    print_table(f"archives in {settings.archive}", found)
