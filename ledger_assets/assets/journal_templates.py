"""The accounting rules: from versioned files into the acct tables, with their approvals (B2)."""

from dagster import AssetExecutionContext, MaterializeResult, asset

from ledger_assets.accounting.rule_files import load_approvals, load_rule_set
from ledger_assets.metadata import table
from ledger_assets.resources import LedgerResource
from ledger_assets.storage.reading import rows
from ledger_assets.storage.rules import approve, store

RULE_SETS = ("combined", "three_entries")


@asset(
    group_name="rules", kinds={"toml", "postgres"}, owners=["team:finance-operations"], tags={"domain": "accounting"}
)
def journal_templates(context: AssetExecutionContext, ledger: LedgerResource) -> MaterializeResult[None]:
    """Chart of accounts, journal templates, matches and account overrides, by rule set and version.

    A version posts only after a second person approved exactly its content; a change of an approved version is
    refused, it becomes the next version. Storing what is stored already changes nothing.
    """
    with ledger.connect() as connection:
        for rule_set in map(load_rule_set, RULE_SETS):
            if store(connection, rule_set):
                context.log.info("%s stored, content %s", rule_set.title, rule_set.content_hash()[:12])
        for approval in load_approvals():
            if approve(
                connection,
                approval.rule_set,
                approval.version,
                approved_by=approval.approved_by,
                content_hash=approval.sha256,
            ):
                context.log.info(
                    "rule set %s v%s approved by %s", approval.rule_set, approval.version, approval.approved_by
                )
        return MaterializeResult(
            metadata={
                "in_use": ledger.the_rule_set,
                "rule_sets": table(rows(connection, "acct/rule_sets")),
                "templates": table(rows(connection, "acct/template_overview")),
                "chart_of_accounts": table(rows(connection, "acct/chart_overview")),
            }
        )
