"""What several commands share: how a month is written, `--json`, and getting to a ledger that can be worked with."""

import json
from pathlib import Path
from typing import Any

import click

from ledger_assets.accounting.months import PeriodError, first_day
from ledger_assets.settings import Settings
from ledger_assets.visible import visible, visible_in_json


class Period(click.ParamType[str]):
    """A month, YYYY-MM."""

    name = "YYYY-MM"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return first_day(value).isoformat()[:7]
        except PeriodError:
            self.fail(f"{value!r} is no month: write it as YYYY-MM, for example 2025-01", param, ctx)


PERIOD = Period()
SERIAL = click.IntRange(1, 2**31 - 1)
"""Numbers that the database gives out: loads, versions."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
period_option = click.option("--period", required=True, type=PERIOD, help="The month, for example 2025-01.")
existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)


def ready(settings: Settings, role: str | None = None) -> str:
    """The URL of a ledger that can be worked with: server up, databases there, schema current.

    It has the rights of the role; without one those of the engine, or what the user's own login has. Raises
    DatabaseError for a login that does not have the role.
    """
    from ledger_assets.storage.database import ENGINE, administrator_url, ensure_databases, ledger_url, require_role
    from ledger_assets.storage.revisions import is_current

    ensure_databases(settings)
    administrator = administrator_url(settings)
    if not is_current(administrator):
        from ledger_assets.storage.migrations import migrate

        migrate(administrator)
    if role is not None:
        require_role(administrator, role)
    return ledger_url(settings, role or ENGINE)


def print_json(value: Any) -> None:
    """JSON on standard output; amounts and dates as strings, so that nothing is rounded on the way."""
    click.echo(visible_in_json(json.dumps(value, indent=2, default=str, ensure_ascii=False)))


def say(text: str) -> None:
    """A text on standard output, without the commands to the terminal that names and values may hold."""
    click.echo(visible(text))
