"""How a job that people launch says that the ledger refused: in its own words, with what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from dagster import Failure

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.assets.overtaken import NO_INCIDENT


@contextmanager
def refusals_told(*only_here: type[LedgerError]) -> Iterator[None]:
    """A refusal is the failure of the op, with its fix as metadata, and is not tried again.

    As an exception it would stand in the run behind "Error occurred while executing op", without its fix. `only_here`:
    what concerns nobody but who launched the run.
    """
    try:
        yield
    except LedgerError as refusal:
        quiet = {NO_INCIDENT: True} if isinstance(refusal, only_here) else {}
        raise Failure(str(refusal), metadata={"fix": refusal.fix, **quiet}, allow_retries=False) from refusal
