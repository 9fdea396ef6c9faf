"""Commands for who looks after a running batch: do one of its workers again."""

import getpass

import click

from ledger_assets.commands.options import as_json, print_json, ready, say
from ledger_assets.settings import Settings

OPERATOR = "batch_operator"
"""The role that may restart a worker, as batch_admin may; the writing is the engine's."""


@click.command("restart-worker")
@click.argument("batch")
@click.argument("worker", type=click.IntRange(1, 2**31 - 1))
@as_json
def restart_worker(batch: str, worker: int, as_json: bool) -> None:
    """Do one worker of a batch again whose staging failed; what the others wrote is kept.

    Then `close` runs the gates and posts the month.
    """
    from ledger_assets.storage.workers import restart_worker as restart

    settings = Settings.from_environment()
    done = restart(
        ready(settings),
        batch,
        worker,
        restarted_by=ready(settings, OPERATOR),
        rule_set=settings.rule_set,
        performed_by=getpass.getuser(),
    )
    if as_json:
        found = {"batch_id": batch, "worker": worker, "state": done.batch.state, "attempt": done.batch.attempt}
        print_json(found | {"workers_missing": done.staged.workers_missing, "what_next": done.what_next})
    else:
        say(f"worker {worker} of {batch} has completed; {done.what_next}")
