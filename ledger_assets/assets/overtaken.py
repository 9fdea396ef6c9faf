"""How assets and checks say that another run has taken over what they were at: nothing is wrong, and nobody is told."""

from collections.abc import Iterator
from contextlib import contextmanager

from dagster import Failure

from ledger_assets.storage.batches import Overtaken

NO_INCIDENT = "no_incident"
"""Metadata key of a failure that concerns nobody but who launched the run, who sees it. No incident is made of it."""


@contextmanager
def overtaken_told() -> Iterator[None]:
    """A failure in the ledger's words, with what to do, and not tried again."""
    try:
        yield
    except Overtaken as refusal:
        raise Failure(str(refusal), metadata={NO_INCIDENT: True, "fix": refusal.fix}, allow_retries=False) from refusal
