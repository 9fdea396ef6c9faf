"""Commands on the life of a month: lock it, reopen it."""

import getpass

import click

from ledger_assets.commands.options import PERIOD, as_json, print_json, ready
from ledger_assets.presentation import print_table
from ledger_assets.settings import Settings


@click.command()
@click.argument("period", type=PERIOD)
@as_json
def lock(period: str, as_json: bool) -> None:
    """Lock a closed month, and every month before it: published, it takes nothing more unless it is reopened."""
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.periods import lock as lock_months

    with connect(ready(Settings.from_environment(), "batch_admin")) as connection:
        locked = lock_months(connection, period, performed_by=getpass.getuser())
    if as_json:
        print_json({"locked": locked})
    else:
        click.echo(f"locked: {', '.join(locked)}" if locked else f"{period} is locked already")


@click.command()
@click.argument("period", type=PERIOD)
@click.option("--reason", default="", help="Why; it is kept in the audit trail. Required.")
@click.option("--chain", is_flag=True, help="Reopen the later months that build on it as well, latest first.")
@as_json
def reopen(period: str, reason: str, chain: bool, as_json: bool) -> None:
    """Open a closed or locked month again, and show the closes that stand until it is closed anew.

    Nothing leaves the ledger. Close the reopened months again, from the earliest on: their late transactions are booked
    in them, the balances roll forward, and each close shows what it changed.
    """
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.periods import closes, reopen, standing_balances

    with connect(ready(Settings.from_environment(), "batch_admin")) as connection:
        months = reopen(connection, period, reason=reason, chain=chain, performed_by=getpass.getuser())
        history = {month: closes(connection, month) for month in sorted(months)}
        balances = {month: standing_balances(connection, month) for month in sorted(months)}
    if as_json:
        print_json({"reopened": months, "closes": history, "standing_balances": balances})
        return
    click.echo(f"reopened: {', '.join(months)}")
    for month in sorted(months):
        print_table(f"{month}: closes", history[month])
        print_table(f"{month}: balances that stand until it is closed again", balances[month])
