"""Commands about alerts: what happened and whom it was told, sending, and a test of the channels."""

import getpass
import sys
from typing import Any

import click

from ledger_assets.accounting.counting import counted
from ledger_assets.commands.options import PERIOD, SERIAL, as_json, print_json, ready, say
from ledger_assets.presentation import out, print_error, print_table
from ledger_assets.settings import Settings


@click.command()
@click.argument("period", type=PERIOD, required=False)
@click.option("--open", "only_open", is_flag=True, help="Only what is not over.")
@click.option("--send", "sending", is_flag=True, help="Look for what is new and send what is due; for cron.")
@click.option("--retry", is_flag=True, help="With --send: at once also what failed or was given up.")
@click.option("--resolve", "incident", type=SERIAL, help="Say that this incident is over.")
@click.option("--reason", help="With --resolve: why; it stays on record.")
@as_json
def alerts(
    period: str | None,
    only_open: bool,
    sending: bool,
    retry: bool,
    incident: int | None,
    reason: str | None,
    as_json: bool,
) -> None:
    """What somebody had to be told: incidents, and what became of the message to each channel.

    With --send: exit code 1 when a message could not be sent; it is tried again later.
    """
    if retry and not sending:
        raise click.UsageError("--retry goes with --send")
    if (incident is None) != (reason is None):
        raise click.UsageError("--resolve and --reason go together")
    settings = Settings.from_environment()
    url = ready(settings)
    if incident is not None:
        _resolve(url, incident, str(reason))
    elif sending:
        _send(settings, url, retry=retry)
    else:
        _show(settings, url, period, only_open=only_open, as_json=as_json)


def _resolve(url: str, incident: int, reason: str) -> None:
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.incidents import resolve_by_hand

    with connect(url) as connection:
        resolve_by_hand(connection, incident, reason=reason, performed_by=getpass.getuser())
    say(f"incident {incident} is over")


def _send(settings: Settings, url: str, *, retry: bool) -> None:
    """The sensors' work, for an installation in which Dagster's daemon does not run, or not always."""
    from ledger_assets.alerts.delivery import send_due
    from ledger_assets.automation.alerts import look_at_everything
    from ledger_assets.closing import dagster_instance
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.incidents import retry_deliveries

    user = getpass.getuser()
    with dagster_instance(settings) as instance:
        for sentence in look_at_everything(url, instance, performed_by=user):
            say(sentence)
    say(_looked_for_overdue(settings, url, user))
    if retry:
        with connect(url) as connection:
            again = retry_deliveries(connection, performed_by=user)
            say(f"{counted(again, 'message')} {'is' if again == 1 else 'are'} tried again")
    done = send_due(settings, url, performed_by=user)
    say(done.summary)
    if done.failures:
        sys.exit(1)


def _looked_for_overdue(settings: Settings, url: str, user: str) -> str:
    """What the sensor close_overdue does."""
    from datetime import UTC, datetime

    from ledger_assets.storage.database import in_transaction
    from ledger_assets.storage.overdue import note_overdue

    late = in_transaction(
        url,
        lambda connection: note_overdue(
            connection,
            due_day=settings.close_due_day,
            first_period=settings.first_period,
            now=datetime.now(UTC),
            performed_by=user,
        ),
    )
    return f"overdue: {', '.join(month.period for month in late)}" if late else "no month is overdue"


def _show(settings: Settings, url: str, period: str | None, *, only_open: bool, as_json: bool) -> None:
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.incidents import incidents

    with connect(url) as connection:
        found = incidents(connection, period=period, only_open=only_open)
    if as_json:
        print_json(found)
        return
    if found:
        print_table("incidents", [_row(incident) for incident in found])
    else:
        say("no open incident" if only_open else "no incident")
    for incident in found:
        for delivery in incident["deliveries"]:
            if delivery["last_error"]:
                say(f"incident {incident['incident_id']}, {delivery['channel']}: {delivery['last_error']}")
    if settings.alerts is None:
        out.print("LEDGER_ALERTS is not set here: from here nobody is told (docs/alerts.md)", highlight=False)


def _row(incident: dict[str, Any]) -> dict[str, Any]:
    seen = f", seen {incident['times_seen']} times" if incident["times_seen"] > 1 else ""
    return {
        "incident": incident["incident_id"],
        "severity": incident["severity"],
        "what": f"{incident['title']}{seen}",
        "kind": incident["kind"],
        "since": f"{incident['opened_at']:%Y-%m-%d %H:%M}",
        "over": f"{incident['resolved_at']:%Y-%m-%d %H:%M}" if incident["resolved_at"] else "no",
        "told": "; ".join(_told(delivery) for delivery in incident["deliveries"]) or "nobody",
    }


def _told(delivery: dict[str, Any]) -> str:
    what = delivery["channel"] if delivery["message"] == "OPENED" else f"{delivery['channel']} (over)"
    told = f"{what} {delivery['status'].lower().replace('_', ' ')}"
    if delivery["tries"] == 1:
        return f"{told} after 1 try" if delivery["status"] == "FAILED" else told
    return f"{told} after {delivery['tries']} tries" if delivery["tries"] or delivery["status"] == "FAILED" else told


@click.command("test-alert")
@click.argument("channel", required=False)
def test_alert(channel: str | None) -> None:
    """Send a test message to one channel of LEDGER_ALERTS, or to all; nothing of it is stored.

    Exit code 1, with the reason, when a channel did not take it.
    """
    from ledger_assets.alerts.delivery import send_tests

    settings = Settings.from_environment()
    if settings.alerts is None:
        raise click.ClickException("LEDGER_ALERTS is not set: there is no channel. Fix: docs/alerts.md shows the file")
    tried = send_tests(settings, channel)
    for name, error in tried.items():
        if error is None:
            say(f"{name}: sent")
        else:
            print_error(f"{name}: {error}")
    if any(tried.values()):
        sys.exit(1)
