"""Commands about the server: start it, stop it, migrate, open the UI."""

import os
import sys
from pathlib import Path

import click

from ledger_assets.commands.options import as_json, print_json, ready
from ledger_assets.settings import Settings


@click.command()
@as_json
def up(as_json: bool) -> None:
    """Start the server if need be, create the databases, bring the schema up to date; says how to connect."""
    from ledger_assets.storage.database import administrator_url

    settings = Settings.from_environment()
    url = ready(settings)
    administrator = administrator_url(settings)
    if as_json:
        shown = {"url": url, "administrator_url": administrator}
        print_json((dict.fromkeys(shown) if settings.database_url else shown) | {"home": settings.home})
    elif settings.database_url:
        click.echo("ready: the server of LEDGER_DATABASE_URL")
    else:
        click.echo(f"ready: the embedded server in {settings.home}\nconnect with: psql '{url}'")
        click.echo(f"or, with all rights: psql '{administrator}'")


@click.command()
def down() -> None:
    """Stop the embedded server; its data stays."""
    from ledger_assets.storage.server import EmbeddedServer

    settings = Settings.from_environment()
    if settings.database_url:
        click.echo("nothing to stop: LEDGER_DATABASE_URL names a server of yours")
        return
    EmbeddedServer(settings.home).stop()
    click.echo("stopped")


@click.command()
def migrate() -> None:
    """Bring the schema of the ledger up to date; does nothing when it is."""
    ready(Settings.from_environment())
    click.echo("the schema is current")


@click.command()
@click.option("--port", default=3000, show_default=True, help="Where the UI listens, on this machine only.")
def ui(port: int) -> None:
    """Open Dagster's UI and daemon on what the commands made; ends with Ctrl-C."""
    settings = Settings.from_environment()
    ready(settings, "ledger_engine")
    os.chdir(settings.project_root)
    program = Path(sys.executable).parent / "dagster"
    os.execv(program, [str(program), "dev", "--workspace", "workspace.yaml", "--port", str(port)])  # noqa: S606 - our own program
