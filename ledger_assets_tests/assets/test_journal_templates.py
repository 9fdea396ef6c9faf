"""What the rules asset shows, and that it stores rules and approvals once."""

from dagster import AssetSelection

from ledger_assets_tests.assets.conftest import ClosedMonth
from ledger_assets_tests.checks.evaluations import materialization, shown
from ledger_assets_tests.scenario import FIRST_PERIOD, materialized, rows_of


def test_rule_sets_templates_and_chart_are_shown(closed_month: ClosedMonth) -> None:
    rules = materialization(closed_month.first, "journal_templates")
    assert rules.metadata["in_use"].value == "combined"
    assert [row["rule_set"] for row in shown(rules, "rule_sets")] == ["combined", "three_entries"]
    assert {row["template_code"] for row in shown(rules, "templates")} >= {"CLAIM-COMBINED", "PREMIUM-COMBINED"}
    assert len(shown(rules, "chart_of_accounts")) == 16


def test_the_shipped_rules_are_stored_with_their_approvals_and_stay(ledger_url: str) -> None:
    stored = "SELECT rule_set, version, content_hash, approved_by, stored_at, approved_at FROM acct.rule_set ORDER BY 1"
    selection = AssetSelection.assets("journal_templates").without_checks()
    assert materialized(ledger_url, FIRST_PERIOD, selection).success
    first = rows_of(ledger_url, stored)
    assert [(row["rule_set"], row["version"], row["approved_by"]) for row in first] == [
        ("combined", 1, "financial-controller"),
        ("three_entries", 1, "financial-controller"),
    ]
    assert materialized(ledger_url, FIRST_PERIOD, selection).success
    assert rows_of(ledger_url, stored) == first
