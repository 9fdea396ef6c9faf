"""Where a figure comes from, and where a transaction went: `ledger-assets explain`."""

from typing import Any

import click

from ledger_assets.commands.options import PERIOD, as_json, print_json, ready, say
from ledger_assets.settings import Settings


@click.command()
@click.argument("name", metavar="[JE-YYYY-MM-NUMBER | YYYY-MM]", required=False)
@click.option("--entry", type=click.IntRange(1, 2**31 - 1), help="The entry's number, after its month.")
@click.option("--account", "account_code", help="An account, to explain its balance; with --fund and --period.")
@click.option("--fund", help="The fund that the account belongs to.")
@click.option("--period", type=PERIOD, help="The month of the balance, for example 2025-01.")
@click.option("--from", "first", metavar="JE-YYYY-MM-NUMBER", help="Show the account's lines from this entry on.")
@click.option("--transaction", "txn_id", help="A transaction's id as it was delivered, to see what became of it.")
@as_json
def explain(name: str | None, as_json: bool, **asked: Any) -> None:
    """Say what a balance is made of, why an entry is what it is, or what became of a transaction.

    \b
    ledger-assets explain JE-2025-01-000123
    ledger-assets explain 2025-01 --entry 123
    ledger-assets explain --account 1100-10 --fund OPERATOR --period 2025-01
    ledger-assets explain --transaction TXN-17

    An entry is shown with its transaction, the approved version of the rules, and the expression of each line with the
    transaction's amounts in it; a transaction with its entries. Reversals are named both ways. What is archived
    is read from its files, which are proven first.
    """
    from ledger_assets.storage.database import connect

    question, answer, show = _question(name, **asked)
    settings = Settings.from_environment()
    with connect(ready(settings)) as connection:
        found = answer(connection, *question, archive=settings.archive)
    if as_json:
        print_json(found)
    else:
        show(found)
        for place in found.get("read_from", []):
            say(f"read from the archive {place['directory']}, proven {place['proven']}")
        if unseen := found.get("archived_months_not_searched"):
            say(f"not searched, because it was found: the archived transactions of {', '.join(unseen)}")


def _question(
    name: str | None,
    *,
    entry: int | None,
    account_code: str | None,
    fund: str | None,
    period: str | None,
    first: str | None,
    txn_id: str | None,
) -> tuple[tuple[Any, ...], Any, Any]:
    """What is asked for, who answers it, and how it is shown. Raises UsageError for anything but one question."""
    from ledger_assets.storage.explaining import explained_balance, explained_entry, explained_transaction

    if sum(one is not None for one in (name, account_code, txn_id)) != 1:
        raise click.UsageError("name one thing: an entry (JE-2025-01-000123), --account or --transaction")
    if entry is not None and name is None:
        raise click.UsageError("--entry needs the month: an entry's number counts from 1 in every month")
    if account_code is None and (fund, period, first) != (None, None, None):
        raise click.UsageError("--fund, --period and --from belong to --account")
    if txn_id is not None:
        return (txn_id,), explained_transaction, _show_transaction
    if name is not None:
        return (_entry(name, entry),), explained_entry, _show_entry
    if fund is None or period is None:
        raise click.UsageError("--account needs --fund and --period: a balance is that of an account in a month")
    return (account_code, fund, period, _start(first, period)), explained_balance, _show_balance


def _entry(name: str, number: int | None) -> Any:
    from ledger_assets.accounting.explanation import EntryName, entry_name

    return entry_name(name) if number is None else EntryName(PERIOD.convert(name, None, None), number)


def _start(first: str | None, period: str) -> int:
    from ledger_assets.accounting.explanation import entry_name

    if first is None:
        return 1
    start = entry_name(first)
    if start.period != period:
        raise click.UsageError(f"--from {first} is no entry of {period}")
    return start.je_number


def _show_entry(answer: dict[str, Any]) -> None:
    from ledger_assets.presentation import print_table

    rules, columns = answer["rules"], ("line_number", "account_code", "fund", "debit_amount", "credit_amount")
    say(f"{answer['entry']} of {answer['batch_id']}")
    for relation in ("reverses", "reversed_by"):
        if answer[relation]:
            say(f"  {relation.replace('_', ' ')} {answer[relation]}")
    say(f"  rules: {rules['rule_set']} v{rules['rule_version']}, approved by {rules['approved_by']}")
    say(f"  template: {rules['template_code']} v{rules['template_version']}; content {rules['content_hash']}")
    if answer["transaction"] is not None:
        _show_delivered(answer["transaction"])
    print_table(
        "lines",
        [{column: line[column] for column in columns} | {"because": _because(line)} for line in answer["lines"]],
    )


def _because(line: dict[str, Any]) -> str:
    if line["expression"] is None:
        return "closing balance, carried at the year end"
    remainder = f" and the remainder {line['remainder']}" if line["remainder"] else ""
    account = line["template_account_code"]
    instead = f"; in place of {account}" if account != line["account_code"] else ""
    return f"{line['expression']}: {line['with_numbers']}{remainder} = {line['result']}{instead}"


def _show_delivered(row: dict[str, Any]) -> None:
    from ledger_assets.presentation import print_table

    hidden = {"state", "entries", "batch_id", "batch_state", "reason", "detail"}
    print_table("transaction", [{column: value for column, value in row.items() if column not in hidden}])


def _show_balance(answer: dict[str, Any]) -> None:
    from ledger_assets.presentation import print_table

    say(
        f"{answer['account_code']} {answer['description']}, {answer['fund']}, {answer['period']}: {answer['balance']:,}"
    )
    print_table("made of", answer["parts"])
    print_table("lines", answer["lines"])
    if answer["next"]:
        say(f"there are more: go on with --from {answer['next']}")


def _show_transaction(answer: dict[str, Any]) -> None:
    from ledger_assets.presentation import print_table

    for row in answer["rows"]:
        batch = f" in {row['batch_id']}" if "batch_id" in row else ""
        reason = f": {row['reason']}, {row['detail']}" if row["state"] == "EXCEPTION" else ""
        say(f"{answer['transaction']}: {row['state']}{batch}{reason}")
        _show_delivered(row)
        if row["state"] == "POSTED":
            entries = [
                {"entry": entry["entry"], "reversed_by": ", then ".join(entry["reversed_by"])}
                for entry in row["entries"]
            ]
            print_table("entries", entries)
