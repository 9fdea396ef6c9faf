"""The statements and the papers of a closed month."""

from pathlib import Path

import click

from ledger_assets.commands.options import PERIOD, as_json, print_json, ready, say
from ledger_assets.settings import Settings

STATEMENT_NAMES = ("trial-balance", "profit-and-loss", "balance-sheet", "funds")


@click.command()
@click.argument("period", type=PERIOD)
@click.option("--statement", "name", type=click.Choice(STATEMENT_NAMES), help="This one alone.")
@click.option("--format", "form", default="text", show_default=True, type=click.Choice(["text", "csv"]))
@click.option("--out", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file.")
@as_json
def statements(period: str, name: str | None, form: str, path: Path | None, as_json: bool) -> None:
    """Trial balance, profit and loss, balance sheet and fund statements of a closed month.

    With the month before, the year to date and the year end before beside them, where the books have these. The role
    finance_viewer may ask for them.
    """
    from ledger_assets.accounting.statements import STATEMENTS
    from ledger_assets.reporting.statement_texts import statement_csv, statement_record, statement_text
    from ledger_assets.storage.database import connect
    from ledger_assets.storage.statements import read_closed_figures

    if form == "csv" and name is None:
        raise click.UsageError("a CSV file holds one statement: name it with --statement")
    if as_json and (path or form == "csv"):
        raise click.UsageError("--json is a form of its own: leave --format and --out away")
    with connect(ready(Settings.from_environment())) as connection:
        figures = read_closed_figures(connection, period)
    made = [STATEMENTS[chosen](figures) for chosen in ([name] if name else STATEMENT_NAMES)]
    if as_json:
        print_json([statement_record(statement) for statement in made])
        return
    text = "\n".join(statement_csv(s) if form == "csv" else statement_text(s, period) for s in made)
    if path is None:
        say(text.removesuffix("\n"))
        return
    from ledger_assets.reporting.filing import put

    say(f"{put(path, text.encode())}: {', '.join(statement.title.lower() for statement in made)} of {period}")


@click.command()
@click.argument("period", type=PERIOD)
@as_json
def report(period: str, as_json: bool) -> None:
    """Write the papers of a closed month anew, without closing it: page, PDF, workbook and CSV. Prints where they lie.

    Wants the rights of the engine. Exit code 1 when one of them could not be made; the others are there then.
    """
    import sys

    from ledger_assets.reporting.papers import write_all
    from ledger_assets.reporting.reading import read_closed

    settings = Settings.from_environment()
    written = write_all(settings.home, read_closed(ready(settings), period, settings.archive))
    if as_json:
        paths = {name: str(path) for name, path in written.paths.items()}
        print_json({"period": period, "papers": paths, "problems": dict(written.problems)})
    else:
        for path in written.paths.values():
            say(str(path))
        for problem in written.problems.values():
            say(f"not made: {problem}")
    if written.problems:
        sys.exit(1)
