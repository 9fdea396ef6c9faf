"""Checks on the rules in use, before anything is posted by them (B2): proofs for every input, not samples.

And a warning while a newer version waits for its approval: until then the old one posts.
"""

from collections.abc import Callable, Iterator, Mapping

from dagster import AssetCheckExecutionContext, AssetCheckResult, AssetCheckSeverity, multi_asset_check
from dagster._core.storage.tags import PARTITION_NAME_TAG

from ledger_assets.accounting.rule_coverage import check_conditions, check_coverage, check_versions
from ledger_assets.accounting.rule_findings import Finding
from ledger_assets.accounting.rule_proofs import (
    check_accounts,
    check_balance,
    check_mirrors,
    check_overrides,
    check_recognition,
)
from ledger_assets.accounting.verdicts import Comparison, Verdict, conclude, count
from ledger_assets.accounting.waiting_rules import NAME as NO_VERSION_WAITS
from ledger_assets.accounting.waiting_rules import verdict as waiting_verdict
from ledger_assets.checks.results import blocking_specs, result, warning_spec
from ledger_assets.resources import LedgerResource
from ledger_assets.storage.rules import StoredRules, in_use, waiting

ASSET = "journal_templates"

CHECKS: Mapping[str, tuple[str, Callable[[StoredRules], list[Finding]]]] = {
    "approved_by_a_second_person": (
        "Somebody other than the preparer approved exactly this content.",
        lambda stored: stored.objections(),
    ),
    "every_account_known_and_open": (
        "Every line's account is in the chart, open, and of the line's fund.",
        lambda stored: check_accounts(stored.rule_set),
    ),
    "templates_balance": (
        "Every template balances, per entry and per fund, for every transaction whose components add up to gross.",
        lambda stored: check_balance(stored.rule_set),
    ),
    "components_reach_their_fund": (
        "Every template recognises each component exactly once, on the proper side.",
        lambda stored: check_recognition(stored.rule_set),
    ),
    "interfund_accounts_mirror": (
        "Due-to and due-from accounts name each other, and every entry moves both by the same amount.",
        lambda stored: check_mirrors(stored.rule_set),
    ),
    "overrides_change_nothing_proven": (
        "An override's account has the fund, type and recognition of the one that it replaces.",
        lambda stored: check_overrides(stored.rule_set),
    ),
    "every_product_covered_once": (
        "Every transaction of the known types and products takes exactly one template, on any day and channel.",
        lambda stored: [
            *check_versions(stored.rule_set),
            *check_conditions(stored.rule_set),
            *check_coverage(stored.rule_set),
        ],
    ),
}


@multi_asset_check(
    name="rule_controls", specs=blocking_specs(ASSET, {name: description for name, (description, _) in CHECKS.items()})
)
def rule_controls(ledger: LedgerResource) -> Iterator[AssetCheckResult]:
    """Read the rules in use from PostgreSQL and prove them."""
    stored = ledger.in_transaction(lambda connection: in_use(connection, ledger.the_rule_set))
    for name, (description, check) in CHECKS.items():
        yield result(ASSET, _verdict(name, description, check(stored)), subject=stored.rule_set.title)


@multi_asset_check(
    name="rule_approvals",
    specs=[
        warning_spec(
            ASSET,
            NO_VERSION_WAITS,
            "No newer version of the rules, which would change this month, waits for its approval.",
        )
    ],
)
def rule_approvals(context: AssetCheckExecutionContext, ledger: LedgerResource) -> Iterator[AssetCheckResult]:
    """Compare the rules in use with the newest version that nobody has approved, for the month of the run.

    Not by month: it is one thing to be told, and over with the approval. In a run without a month every change counts.
    """
    period = context.run.tags.get(PARTITION_NAME_TAG)
    newest = ledger.in_transaction(lambda connection: waiting(connection, ledger.the_rule_set, period))
    yield result(
        ASSET,
        waiting_verdict(ledger.the_rule_set, newest),
        subject=f"rule set {ledger.the_rule_set}" + (f", {period}" if period else ""),
        severity=AssetCheckSeverity.WARN,
    )


def _verdict(name: str, description: str, findings: list[Finding]) -> Verdict:
    lines = [Comparison(finding.culprit, finding.fix, finding.message, "", passed=False) for finding in findings]
    return conclude(
        name, lines, summary=count("findings", 0, len(findings)), good=description, bad="the rules are unsound"
    )
