"""The check on posted entries stands between the posting and the balances; the nightly job proves everything."""

import pytest
from dagster import DagsterInstance

from ledger_assets.automation.schedules import verify_ledger
from ledger_assets.resources import LedgerResource
from ledger_assets_tests.checks.evaluations import evaluated, failed, materializations, shown
from ledger_assets_tests.scenario import SECOND_PERIOD as FEBRUARY
from ledger_assets_tests.scenario import execute, run_month_close

pytestmark = pytest.mark.usefixtures("ledger_home")

ONE_DATE = (
    "SET session_replication_role = replica; "
    "UPDATE ledger.je_header SET je_date = je_date + 1 WHERE period = '2024-02' AND je_number = 3"
)


def test_no_balance_is_taken_of_entries_that_are_not_what_was_posted(closed_url: str) -> None:
    execute(closed_url, ONE_DATE)
    run = run_month_close(closed_url, FEBRUARY)
    assert failed(run) == {"seals_intact"}
    assert "account_balance_snapshot" not in materializations(run)
    (row,) = shown(evaluated(run)["seals_intact"], "rows_that_differ")
    assert (row["entry"], row["column"]) == ("3", "je_date")


def test_another_month_is_not_stopped_by_it(closed_url: str) -> None:
    execute(closed_url, ONE_DATE)
    assert failed(run_month_close(closed_url, "2024-01")) == set()


@pytest.mark.parametrize("tampered", [False, True])
def test_the_nightly_job_fails_when_something_differs(closed_url: str, *, tampered: bool) -> None:
    if tampered:
        execute(closed_url, ONE_DATE)
    with DagsterInstance.ephemeral() as instance:
        run = verify_ledger.execute_in_process(
            instance=instance, resources={"ledger": LedgerResource(url=closed_url)}, raise_on_error=False
        )
    assert run.success is not tampered
    if tampered:
        (failure,) = [event for event in run.all_events if event.is_step_failure]
        data = failure.step_failure_data.user_failure_data
        assert data is not None
        assert data.metadata["verdict"].value == "DIFFERENT"
        assert "je_date" in str(data.metadata["rows_that_differ"])
