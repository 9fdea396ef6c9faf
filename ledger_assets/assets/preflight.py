"""How an asset says that nothing was started: a failure that can be told from every other one."""

from dagster import Failure

from ledger_assets.accounting.errors import LedgerError

PREFLIGHT = "preflight"
"""Metadata key of such a failure; the command line makes exit code 3 of it."""


def preflight_failure(refusal: LedgerError) -> Failure:
    """A failure that says what to do, and is not retried: trying again changes nothing."""
    return Failure(str(refusal), metadata={PREFLIGHT: type(refusal).__name__, "fix": refusal.fix}, allow_retries=False)
