"""What the checks on the balances report of books that were tampered with, and that the report waits for them.

The books refuse changes of posted rows, so these tamperings begin by switching the triggers off, as only the owner can.
"""

import pytest

from ledger_assets_tests.checks.evaluations import evaluated, failed, materializations, shown
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import SECOND_PERIOD as FEBRUARY
from ledger_assets_tests.scenario import execute, failing_balance_controls, run_month_close

pytestmark = pytest.mark.usefixtures("ledger_home")


SNAPSHOT = "UPDATE ledger.account_balance_snapshot SET {} WHERE period = '{}' AND account_code = '{}'"
FUND = "UPDATE ledger.fund_balance SET {} WHERE period = '2024-02' AND fund = 'TABARRU'"
LINES = (
    "SET session_replication_role = replica; UPDATE ledger.je_line SET {} WHERE period = '2024-02' AND je_number = 1"
)

# What the snapshot is taken from. Changed lines do not come so far: seals_intact stops the run before.
CONTROL_TOTALS = (
    "UPDATE control.worker_measure_account SET debit_total = debit_total + 1, credit_total = credit_total + 1 "
    "WHERE batch_id = '2024-02-MONTHEND' AND worker_number = 1 "
    "AND account_id = (SELECT account_id FROM acct.chart_of_accounts WHERE account_code = '2320-10')"
)

TAMPERINGS = {
    "a debit": (
        SNAPSHOT.format("debit = debit + 1", FEBRUARY, "1100-10"),
        {"debits_equal_credits", "snapshot_equals_lines", "fund_balances_agree"},
    ),
    "what an account opens with": (
        SNAPSHOT.format("opening_balance = opening_balance + 1", FEBRUARY, "4110-20"),
        {"debits_equal_credits", "opening_equals_previous_closing"},
    ),
    "what the month before closed with": (
        SNAPSHOT.format("credit = credit + 1", JANUARY, "4110-20"),
        {"opening_equals_previous_closing"},
    ),
    "both sides of a pair": (
        SNAPSHOT.format("credit = credit + 1, debit = debit + 1", FEBRUARY, "2320-10"),
        {"snapshot_equals_lines"},
    ),
    "what is owed to a fund": (
        SNAPSHOT.format("credit = credit + 1", FEBRUARY, "2320-10")
        + ";"
        + SNAPSHOT.format("debit = debit + 1", FEBRUARY, "1100-10"),
        {"snapshot_equals_lines", "interfund_balances_mirror"},
    ),
    "an account that is gone": (
        "DELETE FROM ledger.account_balance_snapshot WHERE period = '2024-02' AND account_code = '5110-20'",
        {"debits_equal_credits", "opening_equals_previous_closing", "snapshot_equals_lines"},
    ),
    "what a fund earned": (FUND.format("income = income + 1"), {"fund_balances_agree"}),
    "what a fund opened with": (FUND.format("opening_balance = opening_balance - 1"), {"fund_balances_agree"}),
    "posted amounts": (LINES.format("amount = amount + sign(amount)::bigint"), {"snapshot_equals_lines"}),
    "a posted account": (LINES.format("account_id = 1") + " AND line_number = 6", {"snapshot_equals_lines"}),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_each_control_sees_what_it_should_and_no_other(closed_url: str, name: str) -> None:
    statements, controls = TAMPERINGS[name]
    assert failing_balance_controls(closed_url, FEBRUARY) == set()
    execute(closed_url, statements)
    assert failing_balance_controls(closed_url, FEBRUARY) == controls


def test_books_that_are_in_order_pass(closed_url: str) -> None:
    run = run_month_close(closed_url, FEBRUARY)
    assert failed(run) == set()
    assert "close_report" in materializations(run)


def test_no_report_is_written_of_balances_that_do_not_stand(closed_url: str) -> None:
    execute(closed_url, CONTROL_TOTALS)
    run = run_month_close(closed_url, FEBRUARY)
    assert failed(run) == {"snapshot_equals_lines"}
    assert "account_balance_snapshot" in materializations(run)
    assert "close_report" not in materializations(run)
    comparisons = shown(evaluated(run)["snapshot_equals_lines"], "comparisons")
    wrong = [row for row in comparisons if row["passed"] == "no"]
    assert comparisons[: len(wrong)] == wrong
    assert {row["difference"] for row in wrong} == {"+0.01"}
