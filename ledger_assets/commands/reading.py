"""Commands that look at the books and change nothing."""

import getpass
from pathlib import Path

import click

from ledger_assets.accounting.counting import counted
from ledger_assets.commands.options import PERIOD, as_json, print_json, ready, say
from ledger_assets.commands.prerequisites import COLUMNS
from ledger_assets.presentation import out, print_table
from ledger_assets.settings import Settings

PERIOD_STATUS = {
    "month": "period/month",
    "obstacles": "period/obstacles",
    "loads": "source/loads_of_period",
    "batches": "control/batches",
    "gates": "control/gates",
    "exceptions": "control/exceptions",
    "late_transactions": "period/late",
    "closes": "period/closes",
    "changed_by_the_last_close": "period/differences",
    "prerequisites": "control/reported_prerequisites",
    "announced_totals": "control/announced_totals",
    "archives": "archive/of_month",
}
ONLY_IF_ANY = ("prerequisites", "announced_totals")
"""Not mentioned to people who use none of it."""
STATUS_COLUMNS = {
    "loads": ("load_id", "file_name", "rows_in_file", "accepted", "rejected", "skipped", "unchanged", "posted_in"),
    "batches": ("batch_id", "attempt", "state", "rules", "entries", "lines", "started_by", "posted_at"),
    "gates": ("batch_id", "gate", "passed", "expected", "actual", "difference"),
} | COLUMNS
"""What people are shown of it; --json has every column."""


@click.command()
@click.argument("period", type=PERIOD, required=False)
@click.option(
    "--watch", "is_watching", is_flag=True, help="Follow the running batch, of this month or any, to its end."
)
@as_json
def status(period: str | None, is_watching: bool, as_json: bool) -> None:
    """What state the months are in; with a month: what keeps it from closing, its loads, batches, gates, open
    exceptions, late transactions, its closes with what the last one changed, and what was reported and announced of it.

    With --watch how far the running batch is, its pace and its workers, until it has ended or Ctrl-C.
    """
    if is_watching:
        if as_json:
            raise click.UsageError("--watch is for people: programs ask for the status, or read control.batch_progress")
        _watch(period)
        return
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
        if title in ONLY_IF_ANY and not records:
            continue
        shown = STATUS_COLUMNS.get(title)
        columns = [{key: row[key] for key in shown} for row in records] if shown else records
        print_table(title.replace("_", " "), columns)
    for batch in answer.get("batches", []):
        if batch["state"] == "FAILED":
            say(f"{batch['batch_id']} failed: {batch['failure_reason']}")


def _watch(period: str | None) -> None:
    from ledger_assets.live_status import watch
    from ledger_assets.storage.database import in_transaction
    from ledger_assets.storage.workers import Watched, watched

    url = ready(Settings.from_environment())
    batch_id: str | None = None

    def look() -> Watched | None:
        nonlocal batch_id
        found = in_transaction(url, lambda connection: watched(connection, period=period, batch_id=batch_id))
        batch_id = found.batch_id if found else None
        return found

    watch(look, out)


@click.command("trial-balance")
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


@click.command()
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
        entries = write_month(connection, period, path, notation=notation, performed_by=getpass.getuser())
    say(f"{path}: {counted(entries, 'entry', 'entries')} of {period}")
