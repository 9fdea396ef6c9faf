"""The check on posted entries stands between the posting and the balances; the nightly job proves everything."""

from pathlib import Path

import pytest
from dagster import DagsterInstance

from ledger_assets.automation.schedules import verify_ledger
from ledger_assets.resources import LedgerResource
from ledger_assets_tests.checks.evaluations import evaluated, failed, materializations, shown
from ledger_assets_tests.scenario import SECOND_PERIOD as FEBRUARY
from ledger_assets_tests.scenario import execute, rows_of, run_month_close

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


def test_the_nightly_job_proves_trail_and_certificates_too_and_is_recorded(closed_url: str, ledger_home: Path) -> None:
    published = ledger_home / "certificates" / "2024-07.json"
    published.parent.mkdir()
    published.write_text("{}", encoding="utf-8")
    execute(
        closed_url,
        "ALTER TABLE audit.batch_operation DISABLE TRIGGER USER; "
        "UPDATE audit.batch_operation SET performed_by = 'nobody' WHERE operation_id = 2; "
        "ALTER TABLE audit.batch_operation ENABLE ALWAYS TRIGGER chain_operation",
    )
    with DagsterInstance.ephemeral() as instance:
        run = verify_ledger.execute_in_process(
            instance=instance,
            resources={"ledger": LedgerResource(url=closed_url, performed_by="the night")},
            raise_on_error=False,
        )
    (failure,) = [event for event in run.all_events if event.is_step_failure]
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    findings = str(data.metadata["findings"])
    assert "its operation is not what was hashed" in findings
    assert "2024-07.json was published, and the ledger has no record of it" in findings
    recorded = rows_of(closed_url, "SELECT performed_by, outcome FROM audit.batch_operation WHERE operation = 'VERIFY'")
    assert recorded == [{"performed_by": "the night", "outcome": "FAILED"}]
