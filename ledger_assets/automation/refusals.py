"""How a job that people launch says that the ledger refused: in its own words, with what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from dagster import Failure

from ledger_assets.accounting.errors import LedgerError


@contextmanager
def refusals_told() -> Iterator[None]:
    """A refusal is the failure of the op, with its fix as metadata, and is not tried again.

    As an exception it would stand in the run behind "Error occurred while executing op", without its fix.
    """
    try:
        yield
    except LedgerError as refusal:
        raise Failure(str(refusal), metadata={"fix": refusal.fix}, allow_retries=False) from refusal
