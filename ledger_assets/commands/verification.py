"""Proving the books: `ledger-assets verify`."""

import getpass
import sys
from dataclasses import asdict

import click

from ledger_assets.commands.options import PERIOD, as_json, print_json, ready
from ledger_assets.settings import Settings


@click.command()
@click.argument("period", type=PERIOD, required=False)
@click.option("--entry", type=click.IntRange(min=1), help="Prove one entry of the month, by its number.")
@as_json
def verify(period: str | None, entry: int | None, as_json: bool) -> None:
    """Prove that the ledger, a month, or one entry of it is what was posted: read everything again, compare the seals.

    The whole ledger with its audit trail and all certificates, a month with its own. The result goes into the trail.

    Exit code 0: proven. 2: something differs. 3: nothing differs, but not everything could be looked at. 1: anything
    else.
    """
    from ledger_assets.presentation import print_proof, print_report
    from ledger_assets.storage.entry_proofs import prove_entry
    from ledger_assets.storage.proving import prove, recorded

    if entry is not None and period is None:
        raise click.UsageError("--entry needs the month: an entry's number counts from 1 in every month")
    settings, user = Settings.from_environment(), getpass.getuser()
    url = ready(settings)
    if entry is not None and period is not None:
        report, proof = prove_entry(url, period, entry, settings.archive)
        recorded(url, report, performed_by=user, period=period)
    else:
        report, proof = prove(url, settings.home, period, performed_by=user, archive=settings.archive), None
    if as_json:
        print_json(asdict(report) | {"verdict": report.verdict} | ({} if proof is None else {"proof": proof}))
    else:
        print_report(report)
        if proof is not None:
            print_proof(proof)
    sys.exit(report.exit_code)
