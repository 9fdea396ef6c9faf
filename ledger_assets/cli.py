"""The command `ledger-assets`: what people and other programs call.

Belongs here and in commands/: words, options, exit codes and what is printed. Not here: anything that decides. Imports
that cost time stand inside the commands that need them: a close from a cold shell takes seconds, and `status` should
not wait for Dagster.
"""

import importlib
import pkgutil
import sys
from typing import Any, NoReturn

import click

from ledger_assets import commands, logs
from ledger_assets.accounting.errors import LedgerError
from ledger_assets.presentation import print_error
from ledger_assets.settings import LogSettings, Settings, SettingsError
from ledger_assets.visible import visible


class Commands(click.Group):
    """Errors that people can act on are one message; everything else keeps its traceback."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """As click's own, but a mistyped command ends with 1: its 2 would say that a gate failed."""
        try:
            log_settings = LogSettings.from_environment()
        except SettingsError as error:
            print_error(str(error))
            sys.exit(1)
        with logs.written(log_settings):
            sys.exit(self._ended(*args, **extra))

    def _ended(self, *args: Any, **extra: Any) -> int:
        """Run, and say so in the log; the exit code."""
        code: Any = 1
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except click.ClickException as error:
            if not logs.error(error.format_message()):
                error.show()
            code = 1
        except click.Abort:
            print_error("interrupted. Nothing is half done: run the command again.")
            code = 1
        except SystemExit as end:
            code = end.code
        except Exception as fault:
            if not logs.unexpected(fault):
                logs.finished(1)
                raise
        number = code if isinstance(code, int) else 0
        logs.finished(number)
        return number

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's own, after refusing words that no command takes: they would be stored, and shown to others."""
        for word in args:
            if visible(word) != word:
                shown = visible(word)[:80]
                raise click.UsageError(f"'{shown}' holds a control character, or bytes that are not UTF-8", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        import psycopg

        from ledger_assets.storage.database import DatabaseError, ledger_url, refusal
        from ledger_assets.storage.server import ServerError

        try:
            return super().invoke(ctx)
        except (LedgerError, SettingsError, DatabaseError, ServerError) as error:
            print_error(str(error))
            sys.exit(1)
        except psycopg.errors.InsufficientPrivilege as error:
            print_error(refusal(error, ledger_url(Settings.from_environment())))
            sys.exit(1)
        except OSError as error:
            if not error.filename:
                raise
            print_error(f"{error.filename}: {error.strerror}. Fix: check the path, the permissions and the disk.")
            sys.exit(1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ledger-assets")
def main() -> None:
    """The month-end close of a takaful insurer: from source transactions to a posted ledger and its balances.

    Without LEDGER_DATABASE_URL everything lives in an embedded PostgreSQL under .ledger/ (or $LEDGER_HOME), which is
    started when it is needed and stopped by `ledger-assets down`.
    """


for found in pkgutil.iter_modules(commands.__path__, f"{commands.__name__}."):
    for command in vars(importlib.import_module(found.name)).values():
        if isinstance(command, click.Command):
            command.callback = logs.announced(command)
            main.add_command(command)


if __name__ == "__main__":
    main()
