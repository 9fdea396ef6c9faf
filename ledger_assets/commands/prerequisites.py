"""Commands on what a month waits for: what other systems finished, what the source says it sent."""

import getpass
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import click

from ledger_assets.accounting.counting import counted
from ledger_assets.commands.options import PERIOD, as_json, print_json, ready, say
from ledger_assets.presentation import print_table
from ledger_assets.settings import Settings

COLUMNS = {
    "prerequisites": ("prerequisite", "status", "reported_at", "reported_by", "reference"),
    "announced_totals": ("txn_type", "announced_rows", "announced_gross", "loaded_rows", "loaded_gross", "agrees"),
}
"""What people are shown of a month, here and by `status`; --json has every column."""

reference_option = click.option("--reference", metavar="TEXT", help="Where it can be looked up: a job, a ticket.")


class Amount(click.ParamType[Decimal]):
    """An exact amount, such as 1234.56."""

    name = "AMOUNT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        if not re.fullmatch(r"[0-9]{1,36}(\.[0-9]{1,2})?", str(value)):
            self.fail(f"{value!r} is no amount: write plain digits and at most two decimals, like 1234.56", param, ctx)
        return Decimal(str(value))


@click.command("report-prerequisite")
@click.argument("period", type=PERIOD)
@click.argument("name")
@click.option(
    "--status",
    default="COMPLETE",
    show_default=True,
    type=click.Choice(["RUNNING", "COMPLETE", "FAILED"]),
    help="What became of it.",
)
@reference_option
def report_prerequisite(period: str, name: str, status: str, reference: str | None) -> None:
    """Report what became of a prerequisite of a month, such as AP_CLOSE. The latest report counts."""
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.prerequisites import report

    with connect(ready(Settings.from_environment())) as connection:
        report(connection, period, name, status=status, reference=reference, reported_by=getpass.getuser())
    say(f"{period}: {name} is {status}")


@click.command()
@click.argument("period", type=PERIOD)
@click.option("--type", "txn_type", required=True, help="The transaction type, as the source's files write it.")
@click.option("--rows", required=True, type=click.IntRange(0, 2**63 - 1), help="How many rows of it were sent.")
@click.option("--gross", required=True, type=Amount(), help="The exact sum of their gross amounts.")
@reference_option
def announce(period: str, txn_type: str, rows: int, gross: Decimal, reference: str | None) -> None:
    """Announce what the source sent for a month: rows and gross amount of a type. The latest announcement counts.

    A month of which totals were announced is closed when exactly these are loaded.
    """
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.prerequisites import announce as announce_totals

    with connect(ready(Settings.from_environment())) as connection:
        announce_totals(
            connection,
            period,
            txn_type,
            row_count=rows,
            gross=gross,
            reference=reference,
            announced_by=getpass.getuser(),
        )
    say(f"{period}: {txn_type} announced, {counted(rows, 'row')} of {gross:,}")


@click.command()
@click.argument("period", type=PERIOD, required=False)
@as_json
def prerequisites(period: str | None, as_json: bool) -> None:
    """What the months wait for; with a month: every prerequisite, and announced totals beside what is loaded."""
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.prerequisites import of_month, overview

    with connect(ready(Settings.from_environment())) as connection:
        answer = overview(connection) if period is None else of_month(connection, period)
    if as_json:
        print_json(answer)
        return
    for title, records in answer.items():
        if title == "waits_for":
            continue
        columns = COLUMNS[title] if period else None
        shown = [{key: row[key] for key in columns} if columns else _in_words(row) for row in records]
        print_table(f"{title.replace('_', ' ')} {period or ''}".strip(), shown)
    for failure in answer.get("waits_for", []):
        say(f"{failure['problem']}. Fix: {failure['fix']}.")


def _in_words(row: Mapping[str, Any]) -> dict[str, Any]:
    """That something is not required is nothing to be told in capitals."""
    return {key: {True: "yes", False: ""}[value] if key == "required" else value for key, value in row.items()}


@click.command("require-prerequisite")
@click.argument("name")
@click.option("--not", "not_required", is_flag=True, help="Take it back: a month may be closed without a report of it.")
@click.option("--description", metavar="TEXT", help="What it is; with it the name may be a new one.")
def require_prerequisite(name: str, not_required: bool, description: str | None) -> None:
    """Make a prerequisite obligatory: no month is closed without a report that it is COMPLETE."""
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.prerequisites import require

    with connect(ready(Settings.from_environment(), "batch_admin")) as connection:
        changed = require(
            connection, name, required=not not_required, description=description, performed_by=getpass.getuser()
        )
    state = "not required" if not_required else "required for every close"
    say(f"{name} is {state}" if changed else f"{name} was {state} before")
