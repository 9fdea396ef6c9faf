"""The certificate of a close: look at it, and check it."""

import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from ledger_assets.commands.options import PERIOD, as_json, existing_file, print_json, ready
from ledger_assets.presentation import out, print_table
from ledger_assets.settings import Settings


@click.command()
@click.argument("period", type=PERIOD, required=False)
@click.option("--file", "path", type=existing_file, help="Check this file alone, without any database.")
@click.option("--public-key", type=existing_file, help="With --file: the key (PEM) that has to have signed it.")
@click.option("--all-lines", is_flag=True, help="Add up the lines of all months, not only of this one.")
@as_json
def certificate(period: str | None, path: Path | None, public_key: Path | None, all_lines: bool, as_json: bool) -> None:
    """Show the certificate of a closed month, and check that it and the ledger are still what they were.

    Checked are hash, signature, the certificate of the month before, the published file, every batch and seal that it
    names, and the balances, which are added up again from the posted lines. Exit code 0: all as certified. 2: something
    differs. 1: anything else.
    """
    if (period is None) == (path is None):
        raise click.UsageError("name a month, for example 2025-01, or a file with --file")
    settings = Settings.from_environment()
    if path is not None:
        document, problems, note = _of_file(settings, path, public_key)
    else:
        document, problems, note = _of_ledger(settings, period or "", all_lines=all_lines)
    answer = _summary(document, problems, note)
    if as_json:
        print_json({**answer, "document": document})
    else:
        _print(document, answer)
    sys.exit(2 if problems else 0)


def _of_ledger(settings: Settings, period: str, *, all_lines: bool) -> tuple[Any, list[str], str]:
    from ledger_assets.accounting.certificate import CertificateError
    from ledger_assets.storage.certificate_findings import examine
    from ledger_assets.storage.database import connect

    with connect(ready(settings)) as connection:
        examined = examine(connection, settings.home, period, all_lines=all_lines, archive=settings.archive)
    if examined is None:
        raise CertificateError(period, "it has no certificate", f"close it: ledger-assets close {period}")
    note = "; ".join(finding.problem for finding in examined.findings if not finding.differs)
    return examined.document, [finding.problem for finding in examined.findings if finding.differs], note


def _of_file(settings: Settings, path: Path, public_key: Path | None) -> tuple[Any, list[str], str]:
    from ledger_assets.storage.certificate_findings import examine_file
    from ledger_assets.storage.signing_key import read_public_key, trusted_keys

    trusted = {read_public_key(public_key)} if public_key else trusted_keys(settings.home)
    text = path.read_text(encoding="utf-8", errors="replace")
    document, problems = examine_file(text, str(path), trusted)
    note = "" if trusted else "No public key was given: compare the key's fingerprint with one that you know."
    return document, problems, note


def _summary(document: Any, problems: list[str], note: str) -> dict[str, Any]:
    from ledger_assets.accounting.certificate import fingerprint, signer

    content = document["certificate"]
    return {
        "period": content.get("period"),
        "close_number": content.get("close_number"),
        "issued_at": content.get("issued_at"),
        "sha256": document["sha256"],
        "signed_with": fingerprint(signer(document)),
        "as_certified": not problems,
        "problems": problems,
        "note": note,
    }


def _in_order(records: list[dict[str, str]]) -> list[dict[str, str | Decimal]]:
    """As a trial balance has them; the certificate has its names in the order of the alphabet, and amounts as text."""
    texts, amounts = ("account", "fund"), ("opening", "debit", "credit", "closing")
    return [
        {name: record[name] for name in texts if name in record}
        | {name: Decimal(record[name]) for name in amounts if name in record}
        for record in records
    ]


def _print(document: Any, answer: dict[str, Any]) -> None:
    content = document["certificate"]
    if isinstance(content.get("balances"), list) and not answer["problems"]:
        print_table(f"balances of {answer['period']} as certified", _in_order(content["balances"]))
        print_table("totals of the funds", _in_order(content["totals_by_fund"]))
    for name in ("period", "close_number", "issued_at", "sha256", "signed_with"):
        out.print(f"{name.replace('_', ' ')}: {escape(str(answer[name]))}", highlight=False, soft_wrap=True)
    for problem in answer["problems"]:
        out.print(f"  [red]differs:[/] {escape(problem)}", highlight=False, soft_wrap=True)
    if answer["note"]:
        out.print(escape(answer["note"]), soft_wrap=True)
    if not answer["problems"]:
        out.print("[green]as certified[/]")
