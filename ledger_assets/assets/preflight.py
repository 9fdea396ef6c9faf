"""How assets and checks say that nothing was started: a failure that can be told from every other one."""

from dagster import AssetCheckEvaluation, Failure

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.preflight import PREFLIGHT_CHECKS

PREFLIGHT = "preflight"
"""Metadata key of such a failure; the command line makes exit code 3 of it."""


def preflight_failure(refusal: LedgerError) -> Failure:
    """A failure that says what to do, and is not retried: trying again changes nothing."""
    return Failure(str(refusal), metadata={PREFLIGHT: type(refusal).__name__, "fix": refusal.fix}, allow_retries=False)


def is_of_preflight(check: AssetCheckEvaluation) -> bool:
    """Whether a check that fails says that nothing may start, not that the month's data is wrong."""
    return check.asset_key.to_user_string() == "journal_templates" or check.check_name in PREFLIGHT_CHECKS
