"""Commands that correct the books: abort, rollback, reverse, year-end. Each wants a reason and is typed once more."""

import getpass
import sys
from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from ledger_assets.accounting.counting import counted
from ledger_assets.accounting.masking import masked_text
from ledger_assets.commands.options import PERIOD, as_json, print_json, ready, say
from ledger_assets.presentation import out, print_table
from ledger_assets.settings import Settings

if TYPE_CHECKING:
    from ledger_assets.storage.batches import Batch
    from ledger_assets.storage.corrections import RolledBack

ADMINISTRATOR = "batch_admin"
"""The role that may correct the books; the engine, which stages and posts, may not."""

confirm = click.option(
    "--confirm", metavar="TEXT", help="The same id once more; asked for on a terminal when it is missing."
)


def confirmed(what: str, confirm: str | None, consequence: str) -> str:
    """What was typed to confirm; nothing when nobody can be asked, which the database refuses."""
    if confirm is None and _can_be_asked():
        click.echo(consequence, err=True)
        return str(click.prompt(f"Type {what} to confirm", default="", show_default=False, err=True)).strip()
    return confirm or ""


def _can_be_asked() -> bool:
    return sys.stdin.isatty()


@click.command()
@click.argument("batch")
@click.option("--reason", required=True, help="Why; it stays on record.")
@as_json
def abort(batch: str, reason: str, as_json: bool) -> None:
    """Give up a batch that is not posted: its staged rows go, whoever works on it is told."""
    from ledger_assets.storage.corrections import abort_batch
    from ledger_assets.storage.database import connect

    with connect(ready(Settings.from_environment(), ADMINISTRATOR)) as connection:
        new = abort_batch(connection, batch, reason=reason, performed_by=getpass.getuser())
    if as_json:
        print_json({"batch_id": batch, "state": "ABORTED", "already_aborted": not new})
    else:
        click.echo(f"{batch} aborted" if new else f"{batch} was aborted before")


@click.command()
@click.argument("batch")
@click.option("--reason", required=True, help="Why; it stays on record.")
@confirm
@click.option("--chain", is_flag=True, help="Also take out everything that was posted on top of it, newest first.")
@as_json
def rollback(batch: str, reason: str, confirm: str | None, chain: bool, as_json: bool) -> None:
    """Take a posted batch out of the books, as if it had never been posted; its entries are kept aside."""
    from ledger_assets.storage.corrections import roll_back
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.reading import rows

    consequence = f"{batch} leaves the books{', and all that was posted after it' if chain else ''}."
    with connect(ready(Settings.from_environment(), ADMINISTRATOR)) as connection:
        effects = roll_back(
            connection,
            batch,
            reason=reason,
            confirmation=confirmed(batch, confirm, consequence),
            performed_by=getpass.getuser(),
            chain=chain,
        )
        free = rows(connection, "source/files_of_loads", loads=[load for effect in effects for load in effect.loads])
    if as_json:
        print_json([asdict(effect) for effect in effects])
        return
    print_table("rolled back", [_shown(effect) for effect in effects])
    for load in free:
        say(f"load {load['load_id']} ({masked_text(load['file_name'])} of {load['period']}) can be posted again")
    for effect in effects:
        _print_funds(effect.period, effect.fund_balances_before, effect.fund_balances_after)


def _shown(effect: "RolledBack") -> dict[str, Any]:
    return {
        "batch": effect.batch_id,
        "entries": effect.entries,
        "numbers_given_back": "{} to {}".format(*effect.numbers) if effect.numbers else "none",
        "month": f"{effect.period} {effect.month_after.lower()}",
    }


def _print_funds(period: str, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    def shown(balances: Mapping[str, str], fund: str) -> Decimal | str:
        return Decimal(balances[fund]) if fund in balances else "none"

    funds = [
        {"fund": fund, "before": shown(before, fund), "after": shown(after, fund)} for fund in sorted({*before, *after})
    ]
    print_table(f"fund balances of {period}", funds)


@click.command()
@click.argument("batch")
@click.option("--into", "period", required=True, type=PERIOD, help="The open month that the counter-entries go to.")
@click.option("--reason", required=True, help="Why; it stays on record.")
@confirm
@as_json
def reverse(batch: str, period: str, reason: str, confirm: str | None, as_json: bool) -> None:
    """Answer a posted batch with its entries once more, debits and credits swapped, in the open month."""
    from ledger_assets.storage.derived_batches import reverse_batch

    settings = Settings.from_environment()
    url = ready(settings)
    posted = reverse_batch(
        url,
        batch,
        opened_by=ready(settings, ADMINISTRATOR),
        into_period=period,
        reason=reason,
        confirmation=confirmed(batch, confirm, f"Every entry of {batch} is taken back in {period}."),
        first_period=settings.first_period,
        performed_by=getpass.getuser(),
    )
    _print_posted(url, posted, as_json)


@click.command("year-end")
@click.argument("year")
@click.option("--reason", default="year end", show_default=True, help="It stays on record.")
@confirm
@as_json
def year_end(year: str, reason: str, confirm: str | None, as_json: bool) -> None:
    """Carry the income and expense of a year to the surplus of each fund, in its closed December."""
    from ledger_assets.storage.derived_batches import close_year

    settings = Settings.from_environment()
    url = ready(settings)
    posted = close_year(
        url,
        year,
        opened_by=ready(settings, ADMINISTRATOR),
        reason=reason,
        confirmation=confirmed(year, confirm, f"Income and expense of {year} go to the surplus of the funds."),
        first_period=settings.first_period,
        performed_by=getpass.getuser(),
    )
    _print_posted(url, posted, as_json)


def _print_posted(url: str, batch: "Batch", as_json: bool) -> None:
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.reading import rows

    with connect(url) as connection:
        accounts = rows(connection, "ledger/totals_by_account", batch_id=batch.batch_id)
    if as_json:
        print_json(asdict(batch) | {"accounts": accounts})
        return
    numbers = f"{batch.first_je_number:,} to {batch.last_je_number:,}"
    out.print(
        f"[green]{batch.batch_id} posted[/]: {counted(batch.entry_count or 0, 'entry', 'entries')}, numbers {numbers}"
    )
    print_table("booked", accounts)
