"""The accounting rules: from versioned files into the acct tables, with their approvals (B2)."""

from dagster import AssetExecutionContext, DataVersion, MaterializeResult, asset

from ledger_assets.accounting.errors import RuleError
from ledger_assets.assets.preflight import preflight_failure
from ledger_assets.metadata import table
from ledger_assets.resources import LedgerResource
from ledger_assets.storage.reading import rows
from ledger_assets.storage.rules import in_use, store_directory


@asset(
    group_name="rules", kinds={"toml", "postgres"}, owners=["team:finance-operations"], tags={"domain": "accounting"}
)
def journal_templates(context: AssetExecutionContext, ledger: LedgerResource) -> MaterializeResult[None]:
    """Chart of accounts, journal templates, matches and account overrides, by rule set and version.

    A version posts only after a second person approved exactly its content; a change of an approved version is
    refused, it becomes the next version. Storing what is stored already changes nothing. The files are those of the
    package, or of `$LEDGER_RULES`.
    """
    try:
        for news in ledger.in_transaction(lambda connection: store_directory(connection, ledger.settings.rules)):
            context.log.info("%s", news)
        stored = ledger.in_transaction(lambda connection: in_use(connection, ledger.the_rule_set))
    except RuleError as refusal:
        raise preflight_failure(refusal) from refusal
    return MaterializeResult(
        # Storing the same rules again makes nothing downstream out of date.
        data_version=DataVersion(stored.rule_set.content_hash()),
        metadata={
            "in_use": ledger.the_rule_set,
            **ledger.in_transaction(
                lambda connection: {
                    "rule_sets": table(rows(connection, "acct/rule_sets")),
                    "templates": table(rows(connection, "acct/template_overview")),
                    "chart_of_accounts": table(rows(connection, "acct/chart_overview")),
                }
            ),
        },
    )
