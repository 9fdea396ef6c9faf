"""What the checks on the rules report, and that staging waits for them."""

from dataclasses import replace
from pathlib import Path

import pytest
from dagster import AssetCheckSeverity

from ledger_assets import closing
from ledger_assets.accounting.rule_files import load_rule_set
from ledger_assets.accounting.templates import RuleSet, Template
from ledger_assets.accounting.waiting_rules import NAME
from ledger_assets.checks.journal_templates import CHECKS
from ledger_assets.close_result import Outcome
from ledger_assets.presentation import print_close
from ledger_assets.rehearsal import rehearse
from ledger_assets.reporting.dry_run import render
from ledger_assets.settings import Settings
from ledger_assets.storage import rules
from ledger_assets.storage.database import connect
from ledger_assets_tests.checks.evaluations import evaluated, failed, materializations, shown
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import deliver, execute, run_month_close, store_rules

pytestmark = pytest.mark.usefixtures("ledger_home")
COMBINED = load_rule_set("combined")


@pytest.fixture
def books(ledger_url: str, tmp_path: Path) -> str:
    """Books with their rules and a delivery."""
    store_rules(ledger_url)
    deliver(ledger_url, JANUARY, folder=tmp_path)
    return ledger_url


def approve(ledger_url: str, rule_set: RuleSet, *, by: str = "controller") -> None:
    """Store the rules and approve them, sound or not."""
    with connect(ledger_url) as connection:
        rules.store(connection, rule_set)
        content = rule_set.content_hash()
        rules.approve(connection, rule_set.name, rule_set.version, approved_by=by, content_hash=content)


def test_sound_rules_pass(books: str) -> None:
    checks = evaluated(run_month_close(books, JANUARY))
    assert all(checks[name].passed for name in CHECKS)
    assert checks["templates_balance"].metadata["subject"].value == COMBINED.title


def _without_last_line(template: Template) -> Template:
    return replace(template, lines=template.lines[:-1])


def _without_motor(template: Template) -> Template:
    return replace(template, matches=tuple(one for one in template.matches if one.product_code != "MOTOR-001"))


@pytest.mark.parametrize(
    ("change", "objections"),
    [
        (_without_last_line, {"templates_balance", "components_reach_their_fund"}),
        (_without_motor, {"every_product_covered_once"}),
    ],
)
def test_unsound_rules_stop_the_month_before_anything_is_staged(books: str, change, objections: set[str]) -> None:
    approve(books, replace(COMBINED, version=2, templates=tuple(map(change, COMBINED.templates))))
    run = run_month_close(books, JANUARY)
    assert failed(run) == objections
    assert materializations(run) == ["journal_templates", "txn_source"]
    finding = evaluated(run)[min(objections)]
    assert finding.metadata["subject"].value == "rule set combined v2"
    assert finding.metadata["expected"].value == "0"
    assert all(row["measure"] and row["expected"] and row["actual"] for row in shown(finding, "comparisons"))


def test_rules_that_were_edited_after_their_approval_are_told_apart(books: str) -> None:
    execute(books, "UPDATE acct.chart_of_accounts SET is_open = false WHERE account_code = '4110-20'")
    run = run_month_close(books, JANUARY)
    assert failed(run) == {"approved_by_a_second_person", "every_account_known_and_open"}
    assert materializations(run) == ["journal_templates", "txn_source"]


def test_a_version_that_nobody_approved_is_not_used_and_people_are_told(books: str, tmp_path: Path) -> None:
    with connect(books) as connection:
        rules.store(connection, replace(COMBINED, version=2, prepared_by="siti", templates=COMBINED.templates[:1]))
    run = run_month_close(books, JANUARY)
    assert run.success
    assert evaluated(run)["every_product_covered_once"].metadata["subject"].value == COMBINED.title
    assert failed(run) == {NAME}
    warning = evaluated(run)[NAME]
    assert (warning.severity, warning.blocking) == (AssetCheckSeverity.WARN, False)
    assert [row["measure"] for row in shown(warning, "comparisons")] == [
        f"{template.name}, which it takes out" for template in COMBINED.templates[1:]
    ]
    assert (closing._outcome(run), closing._problems(run)) == (Outcome.POSTED, [])
    assert NAME not in {gate["gate"] for gate in closing._gates(run)}
    (told,) = closing._warnings(run)
    assert told.startswith(f"{NAME}: rule set combined v2 waits for approval, v1 posts meanwhile: prepared by siti")
    page = (tmp_path / "reports" / JANUARY / "close-report-2024-01.html").read_text()
    assert "1 open point" in page
    assert "The rule set combined v2 waits for approval" in page
    assert "ledger-assets approve-rules combined 2 --as NAME" in page


def test_a_dry_run_tells_of_it_too_until_it_is_approved(books: str, capsys: pytest.CaptureFixture[str]) -> None:
    second = replace(COMBINED, version=2, products=COMBINED.products[:-1])
    with connect(books) as connection:
        rules.store(connection, second)
    result = rehearse(Settings(database_url=books), JANUARY, performed_by="tester")
    assert (result.exit_code, [warning.split(":")[0] for warning in result.warnings]) == (0, [NAME])
    print_close(result)
    assert "  warning: no_version_waits_for_approval: rule set combined v2 waits" in capsys.readouterr().out
    assert "Warning: no_version_waits_for_approval" in render(result)
    approve(books, second)
    assert rehearse(Settings(database_url=books), JANUARY, performed_by="tester").warnings == []
